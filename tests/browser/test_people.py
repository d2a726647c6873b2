"""What a run asks people, and what people tell it: approving, answering, steering, ending one step."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.person import Person


def ask_with_plan_first(person: Person, question: str) -> str:
    person.visit()
    person.button("Options").click()
    person.page.get_by_text("Show me the plan first").click()
    return person.ask(question)


def asked(person: Person) -> Locator:
    return person.page.get_by_role("region", name="Your answer is needed")


def test_an_edited_plan_is_approved_and_done(person: Person) -> None:
    run_id = ask_with_plan_first(person, "Compare two things side by side")
    card = asked(person)
    expect(card).to_contain_text("Is this plan right?")
    card.get_by_role("button", name="Remove step 2").click()
    card.get_by_role("textbox", name="Step 1").fill("Look only at the left")
    card.get_by_role("button", name="Agent of step 2").click()
    person.page.get_by_role("option", name="analysis").click()
    card.get_by_role("button", name="Approve the changed plan").click()
    person.answered()
    plan = person.snapshot(run_id)["plan"]
    assert [(todo["id"], todo["title"], todo["agent"], todo["depends_on"]) for todo in plan] == [
        ("left", "Look only at the left", "research", []),
        ("both", "Put both together", "analysis", ["left"]),
    ]


def test_steps_change_places_and_a_new_one_is_added(person: Person) -> None:
    run_id = ask_with_plan_first(person, "Something with two steps")
    card = asked(person)
    card.get_by_role("button", name="Move step 2 up").click()
    card.get_by_role("button", name="Add a step").click()
    expect(card.get_by_role("button", name="Approve the changed plan")).to_be_disabled()
    card.get_by_role("textbox", name="Step 3").fill("One more")
    card.get_by_role("group", name="Waits for").last.get_by_role("button", name="Step 1").click()
    card.get_by_role("button", name="Approve the changed plan").click()
    person.answered()
    plan = person.snapshot(run_id)["plan"]
    assert [(todo["id"], todo["depends_on"]) for todo in plan] == [("write", []), ("find", []), ("step-3", ["write"])]


def test_a_refused_plan_ends_the_run_with_the_reason(person: Person) -> None:
    run_id = ask_with_plan_first(person, "Something too dear")
    card = asked(person)
    card.get_by_role("button", name="Refuse …").click()
    card.get_by_role("textbox", name="Why not? (optional)").fill("too dear")
    card.get_by_role("button", name="Refuse", exact=True).click()
    expect(person.answer).to_contain_text("The plan was not approved: too dear")
    assert person.snapshot(run_id)["stopped"] == "the plan was not approved: too dear"


@pytest.mark.parametrize("approved", [True, False])
def test_a_tool_call_is_approved_or_refused_as_it_is(person: Person, approved: bool) -> None:
    person.visit()
    run_id = person.ask("Send a mail to Ann")
    card = asked(person)
    expect(card).to_contain_text("May this tool be called?")
    assert card.locator("pre").inner_text() == '{\n  "to": "Ann"\n}'
    if approved:
        card.get_by_role("button", name="Approve the call").click()
    else:
        card.get_by_role("button", name="Refuse …").click()
        card.get_by_role("button", name="Refuse", exact=True).click()
    assert person.answered() == "The mail is out."
    events = person.server.get(f"/v1/runs/{run_id}/events?limit=1000")["events"]
    assert [e["data"]["is_error"] for e in events if e["type"] == "tool.completed"] == [not approved]


def test_a_question_of_an_agent_is_answered_in_ones_own_words(person: Person) -> None:
    person.visit()
    run_id = person.ask("I need advice")
    card = asked(person)
    expect(card).to_contain_text("Which region?")
    expect(card.get_by_role("group", name="Answers").get_by_role("button")).to_have_text(["Europe", "Asia"])
    person.page.reload()
    card.get_by_role("textbox", name="Your answer").fill("Africa")
    card.get_by_role("button", name="Answer", exact=True).click()
    person.answered()
    events = person.server.get(f"/v1/runs/{run_id}/events?limit=1000")["events"]
    assert [e["data"]["result"] for e in events if e["type"] == "tool.completed"] == ["Africa"]


def test_a_running_step_is_told_something_and_one_is_ended_alone(person: Person) -> None:
    person.visit()
    run_id = person.ask("Steer two things side by side")
    page = person.page
    left = page.get_by_role("region", name="Look at the left")
    left.get_by_role("button", name="Tell it").click()
    left.get_by_role("textbox", name="Message to this step").fill("Keep it short.")
    left.get_by_role("button", name="Tell", exact=True).click()
    page.get_by_role("region", name="Look at the right").get_by_role("button", name="End this step").click()
    page.get_by_role("textbox", name="A message to the agents at work").fill("All of you: hurry.")
    page.get_by_role("button", name="Tell the agents").click()
    person.answered()
    events = person.server.get(f"/v1/runs/{run_id}/events?limit=1000")["events"]
    received = [(e.get("stage"), e["data"]["kind"], e["data"]["text"]) for e in events if e["type"] == "input.received"]
    assert ("left", "message", "Keep it short.") in received
    assert (None, "message", "All of you: hurry.") in received
    assert [kind for stage, kind, _ in received if stage == "right"] == ["cancel_stage"]
    assert {todo["id"]: todo["status"] for todo in person.snapshot(run_id)["plan"]}["right"] == "skipped"
