"""What happens between the page and the server: broken connections, refusals, keys."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.person import Person
from tests.browser.server import Server
from tests.browser.test_conversation import assert_whole
from tests.fakes.chaos_proxy import ChaosProxy


class Wire:
    """A proxy before the server whose wire can be cut, in a thread of its own: Playwright's calls block."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.proxy = ChaosProxy("127.0.0.1", server.port)
        self._do(self.proxy.__aenter__())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}"

    def cut(self) -> None:
        """Breaks every connection, and lets no new one through."""

        async def cutting() -> None:
            self.proxy.blackhole = True
            self.proxy.reset_all()

        self._do(cutting())

    def mend(self) -> None:
        async def mending() -> None:
            self.proxy.blackhole = False
            self.proxy.reset_all()

        self._do(mending())

    def close(self) -> None:
        self._do(self.proxy.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    made = Wire(server)
    yield made
    made.close()


def test_a_cut_connection_is_told_and_the_text_goes_on_whole(chromium: object, server: Server, wire: Wire) -> None:
    page: Page = chromium.new_page(base_url=wire.url)  # type: ignore[attr-defined]
    person = Person(page, server)
    person.visit()
    run_id = person.ask("A long answer over a bad wire")
    stage = page.get_by_role("region", name="Write at length")
    for _ in range(2):
        expect(stage).to_contain_text("bold words")
        wire.cut()
        expect(page.get_by_text("reconnecting")).to_be_visible()
        wire.mend()
        expect(page.get_by_text("reconnecting")).to_be_hidden(timeout=20_000)
    assert_whole(person, run_id)
    page.close()


def test_a_server_that_wants_a_key_is_given_one(person: Person) -> None:
    seen: list[str | None] = []

    def door(route: Route) -> None:
        given = route.request.headers.get("authorization")
        seen.append(given)
        if given == "Bearer hr_good.key":
            route.continue_()
            return
        body = {"status": 401, "code": "unauthorized", "title": "Unauthorized", "detail": "A key is needed."}
        route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(body))

    person.page.route("**/v1/**", door)
    person.visit()
    dialog = person.page.get_by_role("dialog", name="This server wants an API key")
    dialog.get_by_label("API key").fill("hr_wrong.key")
    dialog.get_by_role("button", name="Use this key").click()
    expect(dialog).to_contain_text("The key you gave is not valid")
    dialog.get_by_label("API key").fill("hr_good.key")
    dialog.get_by_label("API key").press("Enter")
    expect(dialog).to_be_hidden()
    person.ask("A question with a key")
    assert person.answered() == "Words of writing."
    assert seen[0] is None and "Bearer hr_wrong.key" in seen
    stored = "() => [sessionStorage.length, Object.values(localStorage).join()]"
    assert person.page.evaluate(stored) == [1, ""], "kept in this tab, and nowhere else"


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (403, {}, "Your key does not allow this."),
        (429, {"Retry-After": "7"}, "That was too much at once. Slow down. Try again in 7 s."),
        (413, {}, "That is too much for one request."),
        (422, {}, "Slow down."),
    ],
)
def test_a_refusal_is_told_in_words_and_what_was_typed_stays(
    person: Person, status: int, headers: dict[str, str], words: str
) -> None:
    body = json.dumps({"status": status, "code": "x", "title": "x", "detail": "Slow down."})
    refused = {"status": status, "headers": {**headers, "Content-Type": "application/problem+json"}, "body": body}

    def door(route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(**refused)  # type: ignore[arg-type]
        else:
            route.continue_()

    person.page.route("**/v1/runs", door)
    person.visit()
    person.field.fill("A question that is refused")
    person.button("Ask").click()
    expect(person.page.get_by_role("alert")).to_contain_text(words)
    expect(person.field).to_have_value("A question that is refused")


def test_a_conversation_that_is_not_there_says_so(person: Person) -> None:
    person.visit("/#/conversations/nowhere")
    expect(person.page.get_by_role("alert")).to_contain_text("This is not there")
    person.button("Begin a new conversation").click()
    expect(person.field).to_be_visible()
