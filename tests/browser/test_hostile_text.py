"""Text that wants to run or to fetch something stays text, wherever in a run it stands (SECURITY.md 2.6).

The page comes from a real server with its real headers; what the API says is put in its place, so that every field can be
poisoned. That nothing was run, fetched or stopped by the policy is asserted for every page, in ``conftest.context``.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import Watch
from tests.browser.payloads import PAYLOADS
from tests.browser.person import Person
from tests.browser.poisoned import ENDS, poisoned
from tests.browser.server import Server
from tests.client.raw_server import RUN_ID

ALLOWED = {"http:", "https:", "mailto:"}
FORBIDDEN = "script:not([src^='/assets/']), img, iframe, object, embed, video, audio, base, form[action], style, link[href*='evil'], math"
SETTLED_MS = 50


class Poisoner:
    """Answers every call of the API with ``text`` wherever it has room."""

    def __init__(self, page: Page) -> None:
        self.text = ""
        self.end = "completed"
        page.route("**/v1/**", self._answer)

    def _answer(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path.endswith("/events"):
            route.fulfill(content_type="text/event-stream", body=poisoned(self.text, self.end))
            return
        route.fulfill(content_type="application/json", body=json.dumps(self._json(path)))

    def _json(self, path: str) -> object:
        text = self.text
        common = {"conversation_id": "c", "title": text, "question": text, "created_at": 1.0, "updated_at": 1.0}
        one = {**common, "run_count": 1, "cost_usd": 0.0, "reserved_usd": 0.0}
        run = {"run_id": RUN_ID, "state": "completed", "question": text, "answer": text, "resumed_from": text}
        other = {**run, "run_id": "other", "conversation_id": "c", "created_at": 1.0, "cost_usd": 0.0}
        if path == "/v1/conversations":
            return {"conversations": [one], "next_before": text}
        if path.startswith("/v1/conversations/"):
            return {**one, "runs": [other, {**other, "run_id": RUN_ID}], "next_before": text}
        if path == "/v1/runs":
            return {"runs": [other]}
        if path == "/v1/agents":
            return {"agents": [{"name": text, "description": text, "role": "stage", "tools": [text], "models": [text]}]}
        resume = {"possible": False, "how": text, "href": None, "from_stage": text}
        return {**run, "state": "failed", "resume": resume}


def unfold(page: Page) -> None:
    """Opens whatever can be opened."""
    for _ in range(2):
        page.evaluate(
            "document.querySelectorAll('main [aria-expanded=false]:not([aria-haspopup])').forEach((e) => e.click())"
        )
        page.wait_for_timeout(SETTLED_MS)


def links(page: Page) -> list[str]:
    return list(
        page.evaluate("[...document.querySelectorAll('main a[href], [role=dialog] a[href]')].map((a) => a.protocol)")
    )


def test_there_are_at_least_a_hundred_payloads() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 100


def test_no_payload_runs_or_fetches_anything(page: Page) -> None:
    see_all(page, [(text, ENDS[number % len(ENDS)]) for number, text in enumerate(PAYLOADS)])


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_no_payload_runs_or_fetches_anything_however_the_run_ends(page: Page, end: str) -> None:
    see_all(page, [(text, end) for text in PAYLOADS])


def see_all(page: Page, runs: list[tuple[str, str]]) -> None:
    """Shows each of those runs, unfolds all of it, and looks for anything that is more than text."""
    poisoner = Poisoner(page)
    page.goto("/")
    home = urlsplit(page.url).netloc
    for number, (poisoner.text, poisoner.end) in enumerate(runs):
        page.goto("/#/operations")
        page.goto(f"/#/conversations/c{number}/runs/{RUN_ID}")
        expect(page.get_by_role("region", name="How it is done").first).to_be_visible()
        unfold(page)
        harmless(page, poisoner.text)
        source = page.get_by_role("button", name="Source 1").first
        if source.count():
            source.click()
            expect(page.get_by_role("dialog")).to_be_visible()
            harmless(page, poisoner.text)
            page.keyboard.press("Escape")
        assert urlsplit(page.url).netloc == home, poisoner.text


def harmless(page: Page, text: str) -> None:
    assert page.locator(FORBIDDEN).count() == 0, text
    assert set(links(page)) <= ALLOWED, text
    handlers = (
        "[...document.querySelectorAll('#root *')].flatMap((e) => e.getAttributeNames()).filter((n) => /^on/.test(n))"
    )
    assert page.evaluate(handlers) == [], text


@pytest.mark.parametrize(
    ("html", "noticed"),
    [
        ("<img src='https://evil.example/x.png'>", "foreign request"),
        ("<script>alert(1)</script>", "dialog"),
        ("<script>throw new Error('broken')</script>", "error"),
    ],
)
def test_the_watch_notices_what_it_is_there_for(chromium: Browser, server: Server, html: str, noticed: str) -> None:
    context = chromium.new_context(base_url=server.url)
    watch = Watch(context, server.url)
    page = context.new_page()
    page.set_content(f"<div id=root>{html}</div>")
    page.wait_for_timeout(SETTLED_MS)
    context.close()
    assert any(words.startswith(noticed) for words in watch.wrong), watch.wrong


def test_the_policy_stops_and_tells_what_gets_into_the_page_as_html(chromium: Browser, server: Server) -> None:
    context = chromium.new_context(base_url=server.url)
    watch = Watch(context, server.url)
    page = context.new_page()
    page.goto("/")
    page.evaluate("try { document.body.innerHTML = '<img src=x onerror=alert(1)>' } catch {}")
    page.evaluate("document.body.append(Object.assign(new Image(), { src: 'https://evil.example/x.png' }))")
    page.wait_for_timeout(SETTLED_MS)
    context.close()
    told = [words.split(":")[0] for words in watch.wrong]
    assert told.count("policy") >= 2 and "dialog" not in told, watch.wrong


def test_links_to_elsewhere_open_apart_and_tell_nothing(page: Page) -> None:
    poisoner = Poisoner(page)
    poisoner.text = "[out](https://example.org/) and [within](/v1/runs) and [mail](mailto:a@example.org)"
    page.goto(f"/#/conversations/c/runs/{RUN_ID}")
    out = page.get_by_role("link", name="out", exact=True).first
    expect(out).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(out).to_have_attribute("target", "_blank")
    expect(page.get_by_role("link", name="mail", exact=True).first).to_be_visible()
    assert page.get_by_role("link", name="within", exact=True).count() == 0


def test_a_question_full_of_html_goes_through_a_real_run_as_text(person: Person) -> None:
    person.visit()
    question = "long answer " + " ".join(PAYLOADS[:40])
    person.ask(question[:4000])
    expect(person.page.get_by_role("region", name="Write at length")).to_contain_text("bold words")
    assert person.page.locator(FORBIDDEN).count() == 0
    person.button("Cancel").click()
