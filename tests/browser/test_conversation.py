"""A person asks, watches, comes back, steers and ends; all in Chromium against a real server."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.person import Person, plain


def test_a_first_visitor_is_told_what_happens_and_asks_an_example(person: Person) -> None:
    person.visit()
    expect(person.page.get_by_role("heading", level=1)).to_have_text("What would you like to know?")
    examples = person.page.get_by_role("list", name="Example questions").get_by_role("button")
    expect(examples).to_have_count(3)
    examples.first.click()
    expect(person.field).to_have_value(examples.first.inner_text())
    person.button("Ask").click()
    person.run_in_address()
    assert person.answered() == "Words of writing."


def test_a_run_is_watched_from_the_plan_to_the_answer(person: Person) -> None:
    person.visit()
    run_id = person.ask("Compare two things side by side")
    page = person.page
    plan = page.get_by_role("region", name="Plan", exact=True)
    expect(plan.get_by_role("listitem")).to_have_count(3)
    expect(plan).to_contain_text("after 1, 2")
    left = page.get_by_role("region", name="Look at the left")
    right = page.get_by_role("region", name="Look at the right")
    expect(left).to_contain_text("On the left there is a hub")
    expect(right).to_contain_text("On the right there is a kitchen")
    beside = "(a, b) => { const [p, q] = [a, b].map((e) => e.getBoundingClientRect()); return p.y === q.y && p.right <= q.x }"
    assert left.evaluate(beside, right.element_handle()), "side by side"
    left.get_by_role("button", name=re.compile("Search documents")).click()
    expect(left.locator("pre").first).to_contain_text('"query": "hub"')
    person.answered()
    expect(person.answer.get_by_role("table")).to_contain_text("a kitchen")
    expect(page.get_by_role("status").filter(has_text="The answer is complete.")).to_be_attached()
    assert plain(str(person.snapshot(run_id)["answer"])).startswith("Both sides The left writes first")
    page.get_by_role("button", name=re.compile("3 steps")).click()
    left.get_by_role("button", name="Thinking").click()
    expect(left).to_contain_text("The left side is the one with the hub.")


def test_a_reload_in_the_middle_of_an_answer_goes_on_with_exactly_its_text(person: Person) -> None:
    person.visit()
    run_id = person.ask("A long answer, please")
    stage = person.page.get_by_role("region", name="Write at length")
    expect(stage).to_contain_text("bold words go by.")
    person.page.reload()
    expect(stage).to_contain_text("bold words go by.")
    assert person.snapshot(run_id)["state"] == "running", "the reload came too late to show anything"
    assert_whole(person, run_id)


def assert_whole(person: Person, run_id: str, lines: int = 40) -> None:
    """The answer shown is the snapshot's, word by word: nothing missing, nothing twice."""
    shown = person.answered()
    answer = str(person.snapshot(run_id)["answer"])
    assert " ".join(shown.split()) == plain(answer)
    assert answer.count("words go by") == lines


def test_a_long_text_is_whole_while_it_still_grows(person: Person) -> None:
    """Its beginning is settled piece by piece and not parsed again; nothing may be lost or doubled at the cuts."""
    person.visit()
    run_id = person.ask("An answer at great length, looked at half way")
    text = person.page.get_by_role("region", name="Write at length").locator(".markdown")
    expect(text.locator("p").nth(90)).to_be_attached(timeout=30_000)
    half = " ".join(text.inner_text().split())
    assert person.snapshot(run_id)["state"] == "running", "it was looked at too late to show anything"
    person.answered()
    whole = plain(str(person.snapshot(run_id)["answer"]))
    assert half.count("words go by") >= 90
    assert whole.startswith(half)
    assert_whole(person, run_id, 120)


def test_a_run_is_cancelled_and_resumed(person: Person) -> None:
    person.visit()
    first = person.ask("A long answer, then cancelled")
    expect(person.page.get_by_role("region", name="Write at length")).to_contain_text("bold words")
    person.button("Cancel").click()
    expect(person.page.get_by_role("region", name="How it ended")).to_contain_text("Cancelled")
    assert person.snapshot(first)["state"] == "cancelled"
    person.button("Resume").click()
    person.page.wait_for_url(lambda url: first not in url)
    second = person.run_in_address()
    assert person.snapshot(second)["resumed_from"] == first
    assert_whole(person, second)


def test_a_failed_run_says_why_and_is_resumed_without_doing_again_what_worked(person: Person) -> None:
    person.visit()
    first = person.ask("Something that breaks once")
    ended = person.page.get_by_role("region", name="How it ended")
    expect(ended).to_contain_text("the script fails here")
    expect(ended).to_contain_text("keeps the completed step")
    person.button("Resume").click()
    person.page.wait_for_url(lambda url: first not in url)
    second = person.run_in_address()
    assert person.answered() == "Now it works as well."
    assert [output["carried_from"] for output in person.snapshot(second)["outputs"]] == [first, None]


def test_a_recovery_is_told_in_a_small_note(person: Person) -> None:
    person.visit()
    person.ask("Something that stumbles")
    assert person.answered() == "It stumbled and went on."
    person.page.get_by_role("button", name=re.compile("1 step")).click()
    expect(person.page.get_by_role("list", name="Recoveries")).to_contain_text("trying again")


def test_a_conversation_goes_on_and_is_deleted(person: Person) -> None:
    person.visit()
    person.ask("The first of two questions")
    person.answered()
    person.field.fill("And the second of them?")
    person.field.press("Enter")
    expect(person.page.get_by_role("article")).to_have_count(2)
    expect(person.page.get_by_role("article").nth(1)).to_contain_text("Words of writing.")
    conversation = re.search(r"conversations/([^/]+)", person.page.url)
    assert conversation is not None
    assert person.server.get(f"/v1/conversations/{conversation[1]}")["run_count"] == 2
    item = person.page.get_by_role("complementary", name="Conversations").get_by_role("listitem")
    mine = item.filter(has_text="The first of two questions")
    mine.hover()
    mine.get_by_role("button", name=re.compile("^Delete")).click()
    dialog = person.page.get_by_role("alertdialog")
    dialog.get_by_role("button", name="Keep it").click()
    expect(mine).to_be_visible()
    mine.get_by_role("button", name=re.compile("^Delete")).click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(mine).to_have_count(0)
    expect(person.page.get_by_role("heading", level=1)).to_have_text("What would you like to know?")


def test_what_the_guardrail_refuses_is_told_with_its_reason(person: Person) -> None:
    person.visit()
    run_id = person.ask("Something harmful")
    expect(person.answer).to_contain_text("It asks for harm.")
    person.page.get_by_role("button", name="Planning").click()
    expect(person.page.get_by_role("list", name="Planning")).to_contain_text("refused")
    assert person.snapshot(run_id)["guardrail"]["allowed"] is False


def test_a_text_is_attached_and_options_reach_the_run(person: Person, tmp_path: Path) -> None:
    note, binary = tmp_path / "note.md", tmp_path / "tool.exe"
    note.write_text("Read me.")
    binary.write_bytes(b"MZ")
    person.visit()
    files = person.page.locator("input[type=file]")
    files.set_input_files(binary)
    expect(person.page.get_by_role("alert")).to_contain_text("neither a picture, a PDF nor a text")
    files.set_input_files(note)
    person.button("Options").click()
    person.page.get_by_label("Budget in US dollars").fill("nothing")
    person.field.fill("A question with a note")
    person.button("Ask").click()
    expect(person.page.get_by_role("alert")).to_contain_text("The budget is to be a number above zero.")
    person.page.get_by_label("Budget in US dollars").fill("0,5")
    person.page.get_by_label("Deadline in minutes").fill("2")
    run_id = person.ask("A question with a note")
    person.answered()
    expect(person.page.get_by_role("list", name="Attached")).to_have_text("note.md")
    accepted = person.server.get(f"/v1/runs/{run_id}/events?limit=1")["events"][0]["data"]
    attached = [(a["type"], a["media_type"], a["name"], a["data"]) for a in accepted["input"]["attachments"]]
    assert attached == [("text", "text/plain", "note.md", "UmVhZCBtZS4=")]
    assert (accepted["limits"]["budget_usd"], accepted["limits"]["deadline_s"]) == (0.5, 120.0)


def test_what_somebody_else_asks_in_the_conversation_appears(person: Person) -> None:
    person.visit()
    person.ask("A question of mine")
    person.answered()
    conversation = person.page.url.split("/")[-3]
    person.server.ask("A question of somebody else", conversation_id=conversation)
    person.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(person.page.get_by_role("article", name="A question of somebody else")).to_contain_text("Words of writing.")


def test_a_question_is_asked_with_the_keyboard_alone(person: Person) -> None:
    person.visit()
    page = person.page
    expect(person.field).to_be_focused()
    page.keyboard.type("Only with keys")
    page.keyboard.press("Enter")
    person.run_in_address()
    person.answered()
    reach(page, lambda: page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Plan", exact=True)).to_be_visible()


def reach(page: Page, there: object) -> None:
    """Tab on until ``there()``; every stop on the way shows that it has the focus."""
    assert callable(there)
    page.get_by_role("region", name="Questions and answers").focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        outlined = page.evaluate(
            "() => { const e = document.activeElement; const box = e.closest('.composer-box') ?? e;"
            " return [e, box].some((x) => getComputedStyle(x).outlineStyle !== 'none') }"
        )
        assert outlined, page.evaluate("document.activeElement.outerHTML")
        if there():
            return
    raise AssertionError("it cannot be reached with Tab")
