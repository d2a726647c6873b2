"""What a viewer may not see is a stub under the same number, and what concerns no rule is passed on as the bytes it is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from runtime.agents.metadata import tool_visibility
from runtime.events import catalog as ev
from runtime.events.codec import decode, encode, public_json
from runtime.events.envelope import Draft, Stored
from runtime.events.messages import TextBlock, ToolUseBlock, Usage
from runtime.stream import view as view_module
from runtime.stream.view import View, Viewer, view
from runtime.tools.registry import Registry
from runtime.tools.tool import tool


@tool(visible=["support", "admin"])
def look_up_customer(name: str) -> str:
    """Look up."""
    return name


@tool(visible=False)
def charge() -> str:
    """Charge."""
    return ""


@tool
def search() -> str:
    """Search."""
    return ""


RULE = tool_visibility(Registry([look_up_customer, charge, search]))
HIDDEN = ("look_up_customer", "charge")


def stored(event: ev.Event, seq: int = 7) -> Stored:
    record = encode(Draft(event, "s", "research", 2, 1), "run-1", 5.25)
    return Stored(seq, 3, record.type, record.family, record.stage, record.body)


def seen(event: ev.Event, *roles: str) -> Stored:
    assert RULE is not None
    return View([RULE], Viewer(roles=frozenset(roles))).shown(stored(event))


def of(name: str) -> list[ev.Event]:
    return [
        ev.ToolCalled(call_id="c", name=name, arguments={"name": "Ada"}),
        ev.ToolCompleted(call_id="c", name=name, result="Ada owes 5"),
        ev.ToolOutcomeUnknown(call_id="c", name=name, known="it died"),
        ev.ToolArgumentsInvalid(call_id="c", name=name, message="no name"),
        ev.TurnDelta(kind="tool_input", text='{"name": "Ada"', call_id="c", name=name),
        ev.RecoveryToolSwitchedOff(name=name, failures=3, message=f"{name} failed"),
        ev.RecoveryRetrying(failure="tool_died", message=f"{name} died", attempt=1, of=3, delay_s=1.0),
    ]


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("at", range(7))
def test_hidden_tool_arrives_as_a_system_stub_with_the_same_id(name: str, at: int) -> None:
    stub = seen(of(name)[at])
    assert (stub.seq, stub.epoch, stub.type, stub.family) == (7, 3, "hidden", "system")
    assert json.loads(public_json(stub)) == {
        "seq": 7, "epoch": 3, "run_id": "run-1", "family": "system", "type": "hidden", "at": 5.25, "data": {},
    }  # fmt: skip
    assert decode(stub).event == ev.Hidden()


def test_viewer_with_a_role_sees_the_very_bytes_of_the_log() -> None:
    for event in of("look_up_customer"):
        assert seen(event, "other", "support").body == stored(event).body
    assert seen(of("charge")[0], "support", "admin").type == "hidden", "nobody sees what is visible to nobody"
    for event in of("search"):
        assert seen(event).body == stored(event).body


def test_turn_is_shown_without_its_hidden_calls() -> None:
    content = (
        TextBlock(text="I look."),
        ToolUseBlock(id="c1", name="charge", input={"card": "4111"}),
        ToolUseBlock(id="c2", name="search", input={}),
    )
    event = ev.TurnCompleted(content=content, stop_reason="tool_use", usage=Usage(), model="m")
    shown = decode(seen(event))
    assert isinstance(shown.event, ev.TurnCompleted)
    assert shown.event.content == (content[0], content[2])
    assert (shown.seq, shown.stage, shown.agent, shown.turn, shown.attempt) == (7, "s", "research", 2, 1)


def test_summary_of_a_conversation_is_hidden_from_whom_any_tool_is_hidden() -> None:
    """It tells in the model's words what tools answered, and need not name them."""
    event = ev.TurnCompleted(
        content=(TextBlock(text="The customer lives in Rome."),),
        stop_reason="end_turn",
        usage=Usage(),
        model="m",
        purpose="summary",
    )
    assert seen(event).type == "hidden"
    answer = event.model_copy(update={"purpose": "answer"})
    assert seen(answer).body == stored(answer).body


def test_text_that_only_speaks_of_a_hidden_tool_is_shown() -> None:
    event = ev.TurnDelta(text="I will charge nothing")
    assert seen(event).body == stored(event).body


def test_tokens_that_concern_no_rule_are_never_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(stored: Stored) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(view_module, "decode", never)
    for event in (ev.TurnDelta(text="hello"), *of("search"), ev.RunStarted(epoch=1, owner="o", code_version="0")):
        one = stored(event)
        assert RULE is not None
        assert View([RULE]).shown(one) is one
        assert View().shown(one) is one


def test_without_restricted_tools_there_is_no_rule_at_all() -> None:
    assert tool_visibility(Registry([search])) is None
    assert View().open


def test_users_rule_changes_or_hides_by_viewer() -> None:
    @view("object")
    def only_titles_for_guests(draft: Draft, viewer: Viewer) -> Draft | None:
        if "staff" in viewer.roles or isinstance(draft.event, ev.TitleSet):
            return draft
        return None

    guest, staff = View([only_titles_for_guests]), View([only_titles_for_guests], Viewer(roles=frozenset({"staff"})))
    title, custom, token = (
        stored(ev.TitleSet(title="T")),
        stored(ev.Custom(name="n", value=1)),
        stored(ev.TurnDelta(text="")),
    )
    assert [guest.shown(one).type for one in (title, custom, token)] == ["title.set", "hidden", "turn.delta"]
    assert all(staff.shown(one) is one for one in (title, custom, token))


def test_changed_event_stays_where_it_was_also_inside_of_a_delegation() -> None:
    @view("token")
    def shout(draft: Draft, viewer: Viewer) -> Draft:
        assert isinstance(draft.event, ev.TurnDelta)
        return replace(draft, event=ev.TurnDelta(text=draft.event.text.upper()))

    record = encode(Draft(ev.TurnDelta(text="a"), "s", "helper", 1, 2, "2.c1"), "run-1", 5.25)
    shown = decode(View([shout]).shown(Stored(7, 3, record.type, record.family, record.stage, record.body)))
    place = (shown.stage, shown.agent, shown.turn, shown.attempt, shown.call)
    assert place == ("s", "helper", 1, 2, "2.c1") and shown.event == ev.TurnDelta(text="A")


def test_rule_that_fails_hides_its_event() -> None:
    @view()
    def broken(draft: Draft, viewer: Viewer) -> Draft | None:
        raise KeyError("oops")

    shown = View([broken])
    assert shown.shown(stored(ev.TitleSet(title="secret"))).type == "hidden"
    assert shown.counts.snapshot()["failures"] == 1


def test_event_of_a_newer_version_that_a_rule_cannot_judge_is_hidden() -> None:
    body = b'{"run_id":"r","family":"object","type":"tool.billed","at":1.0,"data":{"name":"charge"}}'
    assert RULE is not None
    assert View([RULE]).shown(Stored(1, 1, "tool.billed", "object", None, body)).type == "hidden"
