"""The page on the real system: Ray, Serve, its proxy in front, and a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Watch, binary, chromium
from tests.browser.person import Person, plain
from tests.browser.server import Server
from tests.end_to_end.conftest import Served, served

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

__all__ = ["binary", "chromium"]

SCRIPT = Path(__file__).parents[1] / "browser" / "script.toml"


@pytest.fixture(scope="module")
def system(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("page")
    environment = {
        "HEADRACE_MODULES": json.dumps(["tests.end_to_end.people_agents"]),
        "HEADRACE_TEST_OUTBOX": str(data / "outbox"),
    }
    with served(data, "--model", "scripted", "--script", str(SCRIPT), **environment) as running:
        yield running


def test_a_person_asks_reloads_and_reads_the_whole_answer(chromium: Browser, system: Served) -> None:
    context = chromium.new_context(base_url=system.url)
    context.set_default_timeout(30_000)
    watch = Watch(context, system.url)
    person = Person(context.new_page(), Server(system.url, system.port))
    person.visit()
    run_id = person.ask("A long answer on the real system")
    stage = person.page.get_by_role("region", name="Write at length")
    expect(stage).to_contain_text("bold words", timeout=30_000)
    person.page.reload()
    shown = person.answered()
    assert " ".join(shown.split()) == plain(str(person.snapshot(run_id)["answer"]))
    context.close()
    assert not watch.wrong
