"""The pictures in ``docs/images``: ``make screenshots`` takes them, of a real server that plays ``pictures.toml``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.person import Person
from tests.browser.server import Server, serving

ROOT = Path(__file__).parents[2]
QUESTION = "What does a takeover cost, and what does a reader notice of it?"


@pytest.fixture(scope="module")
def pictured(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    script = str(Path(__file__).with_name("pictures.toml"))
    data = tmp_path_factory.mktemp("pictures")
    with serving(data, "--model", "scripted", "--script", script, "--docs", str(ROOT / "docs")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pictures go."""
    return Path(os.environ.get("HEADRACE_SCREENSHOTS") or tmp_path)


def new_page(chromium: Browser, server: Server, width: int, height: int, scheme: str) -> Page:
    size = {"width": width, "height": height}
    return chromium.new_page(base_url=server.url, viewport=size, color_scheme=scheme)  # type: ignore[arg-type]


def take(page: Page, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    assert path.stat().st_size > 10_000, "an empty picture"


def test_the_conversation_view(chromium: Browser, pictured: Server, folder: Path) -> None:
    for name, width, height, scheme in (
        ("conversation", 1280, 1000, "light"),
        ("conversation-dark", 1280, 1000, "dark"),
        ("conversation-phone", 360, 740, "light"),
    ):
        page = new_page(chromium, pictured, width, height, scheme)
        person = Person(page, pictured)
        person.visit()
        if name == "conversation":
            take(page, folder / "first-visit.png")
        person.ask(QUESTION)
        expect(page.get_by_text("A run has one owner")).to_be_visible()
        take(page, folder / f"{name}.png")
        person.answered()
        page.close()


def test_the_run_view_and_operations(chromium: Browser, pictured: Server, folder: Path) -> None:
    for name, width, height, scheme in (
        ("run", 1280, 1000, "light"),
        ("run-dark", 1280, 1000, "dark"),
        ("run-phone", 360, 740, "light"),
    ):
        page = new_page(chromium, pictured, width, height, scheme)
        person = Person(page, pictured)
        person.visit()
        run_id = person.ask(QUESTION)
        person.answered()
        person.visit(f"/#/runs/{run_id}")
        page.get_by_role("option", name=re.compile("^Turn 2")).first.hover()
        page.get_by_role("slider", name="Moment of the run").focus()
        for _ in range(3):
            page.keyboard.press("PageDown")
        take(page, folder / f"{name}.png")
        operations = name.replace("run", "operations")
        person.visit("/#/operations")
        expect(page.get_by_role("region", name="Agents")).to_be_visible()
        take(page, folder / f"{operations}.png")
        page.close()
