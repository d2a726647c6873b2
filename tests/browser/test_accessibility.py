"""What the page is like on a phone, in the dark, and for those who do not see it: axe-core finds nothing wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.person import Person
from tests.browser.server import Server

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE = 360


@pytest.fixture
def examined(chromium: Browser, server: Server, request: pytest.FixtureRequest) -> Iterator[Person]:
    """Without the policy, which would keep axe out of the page as it keeps out everything else that is not the page's own."""
    width, scheme = request.param
    context = chromium.new_context(
        base_url=server.url, bypass_csp=True, viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    yield Person(context.new_page(), server)
    context.close()


def violations(page: Page) -> list[str]:
    page.wait_for_timeout(300)  # colours fade in
    page.add_script_tag(path=AXE)
    found: Any = page.evaluate("rules => axe.run(document, { runOnly: rules })", RULES)
    return [f"{v['id']}: {v['help']}: {[n['html'][:160] for n in v['nodes']]}" for v in found["violations"]]


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("examined", [(1280, "light"), (1280, "dark"), (PHONE, "light")], indirect=True, ids=str)
def test_axe_finds_nothing_and_nothing_is_too_wide(examined: Person) -> None:
    person, page = examined, examined.page
    person.visit()
    person.button("Options").click()
    assert (violations(page), overflow(page)) == ([], 0)
    page.get_by_text("Show me the plan first").click()
    person.ask("Compare two things side by side")
    expect(page.get_by_role("button", name="Approve the plan")).to_be_visible()
    assert (violations(page), overflow(page)) == ([], 0)
    page.get_by_role("button", name="Approve the plan").click()
    expect(page.get_by_role("region", name="Look at the left")).to_contain_text("On the left")
    assert (violations(page), overflow(page)) == ([], 0)
    person.answered()
    page.evaluate("document.querySelectorAll('main [aria-expanded=false]').forEach((e) => e.click())")
    page.evaluate("document.querySelectorAll('.fold-head[aria-expanded=false]').forEach((e) => e.click())")
    assert (violations(page), overflow(page)) == ([], 0)


@pytest.mark.parametrize("examined", [(1280, "light"), (1280, "dark"), (PHONE, "light")], indirect=True, ids=str)
def test_axe_finds_nothing_in_the_run_view_and_in_operations(examined: Person) -> None:
    person, page = examined, examined.page
    person.visit()
    run_id = person.ask("Look at both side by side")
    person.answered()
    person.visit(f"/#/runs/{run_id}")
    page.get_by_role("option", name=re.compile("^Tool Search documents")).first.click()
    page.get_by_role("listbox", name=re.compile("^Events")).get_by_role("option").last.click()
    assert (violations(page), overflow(page)) == ([], 0)
    page.get_by_role("slider", name="Moment of the run").focus()
    page.keyboard.press("PageDown")
    assert (violations(page), overflow(page)) == ([], 0)
    person.visit("/#/operations")
    expect(page.get_by_role("region", name="Agents")).to_be_visible()
    page.get_by_text("As a table").click()
    assert (violations(page), overflow(page)) == ([], 0)


@pytest.mark.parametrize("examined", [(PHONE, "dark")], indirect=True, ids=str)
def test_on_a_phone_conversations_are_opened_from_a_drawer(examined: Person) -> None:
    person, page = examined, examined.page
    person.visit()
    person.ask("A question from a phone")
    person.answered()
    person.visit()
    person.button("All conversations").click()
    drawer = page.get_by_role("dialog", name="Conversations")
    assert (violations(page), overflow(page)) == ([], 0)
    drawer.get_by_role("link", name="A question from a phone").first.click()
    expect(drawer).to_be_hidden()
    assert person.answered() == "Words of writing."


def test_colours_are_switched_and_stay_so(person: Person) -> None:
    person.visit()
    paper = "getComputedStyle(document.body).backgroundColor"
    light = person.page.evaluate(paper)
    switch = person.page.get_by_role("button", name="Colours")
    switch.click()
    switch.click()
    dark = person.page.evaluate(paper)
    assert dark != light
    person.page.reload()
    assert person.page.evaluate(paper) == dark


def test_a_screen_reader_hears_milestones_and_no_single_words(person: Person) -> None:
    person.visit()
    person.page.evaluate(
        """() => {
          window.said = [];
          new MutationObserver(() => {
            for (const e of document.querySelectorAll('[role=status][aria-live]')) {
              if (e.textContent !== window.said.at(-1)) window.said.push(e.textContent);
            }
          }).observe(document.body, { subtree: true, childList: true, characterData: true });
        }"""
    )
    person.ask("Compare two things side by side")
    person.answered()
    said = [words for words in person.page.evaluate("window.said") if words]
    assert "Now: Look at the left, Look at the right" in " ".join(said)
    assert said[-1] == "The answer is complete."
    assert len(said) < 20, said
