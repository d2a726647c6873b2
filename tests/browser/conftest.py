"""The page in a real browser: Debian's Chromium, a real server process with a scripted model, no Ray."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.browser.person import Person
from tests.browser.server import Server, serving

BUILT = Path(__file__).parents[2] / "runtime" / "page" / "index.html"


def missing(what: str) -> None:
    """Skip, but never in CI: there everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def binary() -> str:
    """The browser's program. Skips where there is none, or no page to look at."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing("no Chromium on this machine: make chromium installs Debian's")
    if not BUILT.is_file():
        missing("the page is not built: make web builds it, with Node 20.19 or newer")
    return str(found)


@pytest.fixture(scope="module")
def chromium(binary: str) -> Iterator[Browser]:
    """A browser for one module: while Playwright is there its event loop runs in this thread, and no async test can."""
    with sync_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=binary, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "hub.md").write_text(
        "# The stream hub\n\nThe stream hub is the single writer of every run's log. "
        "An event is durable before any reader sees it.\n"
    )
    (folder / "food.md").write_text("# Lunch\n\nThe kitchen serves soup on Mondays.\n")
    return folder


@pytest.fixture(scope="module")
def server(binary: str, tmp_path_factory: pytest.TempPathFactory, documents: Path) -> Iterator[Server]:
    """One that plays ``script.toml``; it starts only where there is a browser to look at it."""
    data = tmp_path_factory.mktemp("page")
    environment = {
        "HEADRACE_MODULES": json.dumps(["tests.end_to_end.people_agents"]),
        "HEADRACE_TEST_OUTBOX": str(data / "outbox"),
    }
    script = str(Path(__file__).with_name("script.toml"))
    with serving(data, "--model", "scripted", "--script", script, "--docs", str(documents), **environment) as running:
        yield running


class Watch:
    """What a page did that it must never do."""

    def __init__(self, context: BrowserContext, home: str) -> None:
        self.wrong: list[str] = []
        self._home = urlsplit(home).netloc
        context.on("request", self._request)
        context.on("console", self._console)
        context.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        context.on("weberror", lambda error: self.wrong.append(f"error: {error.error}"))

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._home:
            self.wrong.append(f"foreign request: {request.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if (
            "Content Security Policy" in message.text
            or "TrustedHTML" in message.text
            or "TrustedScript" in message.text
        ):
            self.wrong.append(f"policy: {message.text}")


@pytest.fixture
def context(chromium: Browser, server: Server) -> Iterator[BrowserContext]:
    """A fresh browser profile; at its end nothing forbidden has happened in any of its pages."""
    made = chromium.new_context(base_url=server.url, viewport={"width": 1280, "height": 860})
    made.set_default_timeout(15_000)
    watch = Watch(made, server.url)
    yield made
    made.close()
    assert not watch.wrong


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def person(page: Page, server: Server) -> Person:
    return Person(page, server)
