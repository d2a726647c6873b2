"""People in the loop and wide plans, on Ray and over HTTP: approve, edit, refuse, answer, steer, end one step, restart in between."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clients.chat import chat
from tests.clients.test_ag_ui import ask, check, played
from tests.end_to_end.conftest import Served, served
from tests.end_to_end.streams import request

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

WIDE = (
    [(f"r{n}", "research", []) for n in range(1, 5)]
    + [("dig", "digger", [])]
    + [("a1", "analysis", ["r1", "r2", "r3"]), ("a2", "analysis", ["r4", "dig"])]
    + [("w1", "writing", ["a1", "a2"]), ("w2", "writing", ["w1"]), ("w3", "writing", ["w2"])]
)  # fmt: skip
"""Five steps of research, two of analysis, three of writing."""


def todos(plan: list[tuple[str, str, list[str]]]) -> str:
    rows = [
        f'{{ id = "{i}", title = "Do {i}", agent = "{agent}", depends_on = {json.dumps(on)} }}' for i, agent, on in plan
    ]
    return "[" + ", ".join(rows) + "]"


def planning(when: str, plan: list[tuple[str, str, list[str]]]) -> str:
    return f'[[turn]]\nagent = "planner"\nwhen = "{when}"\noutput = {{ todos = {todos(plan)} }}\n'


SCRIPT = (
    "rate = 200\n"
    + planning("wide", WIDE)
    + planning("mail", [("mail", "clerk", [])])
    + planning("advice", [("ask", "clerk", []), ("write", "writing", ["ask"])])
    + planning("long", [("left", "research", []), ("right", "analysis", []), ("write", "writing", ["left", "right"])])
    + planning("one step", [("write", "writing", [])])
    + '[[turn]]\nagent = "titler"\noutput = { title = "A title" }\n'
    + '[[turn]]\nagent = "clerk"\nwhen = "mail"\nturn = 1\ntool_calls = [{ name = "send", input = { to = "Ann" } }]\n'
    + '[[turn]]\nagent = "clerk"\nwhen = "advice"\nturn = 1\n'
    + 'tool_calls = [{ name = "ask_person", input = { question = "Which region?", options = ["Europe", "Asia"] } }]\n'
    + "".join(
        f'[[turn]]\nagent = "digger"\nturn = {n}\ntool_calls = [{{ name = "dig", input = {{ place = "{n}" }} }}]\n'
        for n in range(1, 9)
    )
    + '[[turn]]\nagent = "research"\nwhen = "long"\nturn = 1\nrate = 10\ntext = "left "\nrepeat = 100\n'
    + '[[turn]]\nagent = "analysis"\nwhen = "long"\nturn = 1\nrate = 10\ntext = "right "\nrepeat = 50\n'
    + '[[turn]]\ntext = "words of {agent}"\n'
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("people")
    (made / "script.toml").write_text(SCRIPT)
    return made


def started(folder: Path) -> Any:
    environment = {
        "HEADRACE_AGENT_MODELS": json.dumps({"guardrail": "offline:extractive"}),
        "HEADRACE_MODULES": json.dumps(["tests.end_to_end.people_agents"]),
        "HEADRACE_TEST_OUTBOX": str(folder / "outbox"),
    }
    script = str(folder / "script.toml")
    return served(folder / "data", "--model", "scripted", "--script", script, **environment)


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[Served]:
    with started(folder) as running:
        yield running


class Person:
    """Somebody with ``curl``."""

    def __init__(self, system: Served) -> None:
        self.system = system
        self.http = httpx2.Client(base_url=system.url, timeout=30, trust_env=False)

    def ask(self, question: str, **more: object) -> str:
        answer = self.http.post("/v1/runs", json={"input": question, "on_disconnect": "continue", **more})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    def see(self, run_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/v1/runs/{run_id}").json())

    def say(self, run_id: str, **body: object) -> tuple[int, str | None]:
        answer = self.http.post(f"/v1/runs/{run_id}/input", json=body)
        return answer.status_code, answer.json().get("code")

    def until(self, run_id: str, condition: Any, within_s: float = 60.0) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while not condition(state := self.see(run_id)):
            assert time.monotonic() < deadline, state
            time.sleep(0.1)
        return state

    def asked(self, run_id: str) -> dict[str, Any]:
        """What the run asks, once it waits for nothing else."""
        state = self.until(run_id, lambda s: s["state"] == "waiting")
        (asked,) = [approval for approval in state["approvals"] if approval["open"]]
        return dict(asked)

    def approve(self, run_id: str, asked: dict[str, Any], **more: object) -> tuple[int, str | None]:
        place = {"approval": asked["approval"], "arguments_hash": asked["arguments_hash"]}
        return self.say(run_id, type="approve", **{**place, **more})

    def log(self, run_id: str) -> list[dict[str, Any]]:
        headers = {"Accept": "text/event-stream"}
        return [f.body for f in request(self.system.port, "GET", f"/v1/runs/{run_id}/events", headers=headers).frames()]


@pytest.fixture
def person(system: Served) -> Iterator[Person]:
    somebody = Person(system)
    with somebody.http:
        yield somebody


def ended(state: dict[str, Any]) -> bool:
    return state["state"] not in ("accepted", "running", "waiting")


def test_a_wide_plan_and_a_single_step_run_on_the_same_system_and_the_tool_call_limit_costs_nothing(
    person: Person,
) -> None:
    wide, single = person.ask("Something wide"), person.ask("Only one step")
    state = person.until(wide, ended, 120)
    assert state["state"] == person.until(single, ended)["state"] == "completed"
    assert Counter(todo["agent"] for todo in state["plan"]) == {"research": 4, "digger": 1, "analysis": 2, "writing": 3}
    assert {todo["status"] for todo in state["plan"]} == {"completed"}
    assert state["recoveries"] == {"resumed:tool_call_limit": 2}
    assert state["budget"]["spent_usd"] == state["usage"]["cost_usd"] == 0.0, "a script costs nothing, and says so"
    assert state["usage"]["output_tokens"] > 0
    log = person.log(wide)
    assert [e["data"]["arguments"]["place"] for e in log if e["type"] == "tool.called"] == list("124578"), (
        "3 and 6 met the limit"
    )
    assert len(person.see(single)["plan"]) == 1


def test_a_plan_is_approved_edited_or_refused_before_anything_is_done(person: Person) -> None:
    plain, edited, refused = (person.ask("Only one step", approve_plan=True) for _ in range(3))
    for run_id in (plain, edited, refused):
        assert person.asked(run_id)["kind"] == "plan"
        assert not [e for e in person.see(run_id)["plan"] if e["status"] != "pending"]
    assert person.approve(plain, person.asked(plain)) == (202, None)
    new = {"todos": [{"id": "mine", "title": "Mine", "agent": "writing", "depends_on": []}]}
    assert person.approve(edited, person.asked(edited), plan=new) == (202, None)
    assert person.approve(refused, person.asked(refused), approved=False, text="too dear") == (202, None)
    assert person.until(plain, ended)["answer"] == "words of writing"
    assert [todo["id"] for todo in person.until(edited, ended)["plan"]] == ["mine"]
    assert person.until(refused, ended)["stopped"] == "the plan was not approved: too dear"


def test_a_question_of_an_agent_is_answered(person: Person) -> None:
    run_id = person.ask("I need advice")
    asked = person.asked(run_id)
    assert (asked["what"], asked["options"]) == ("Which region?", ["Europe", "Asia"])
    assert person.say(run_id, type="answer", approval=asked["approval"], text="Africa") == (202, None)
    assert person.until(run_id, ended)["state"] == "completed"
    assert [e["data"]["result"] for e in person.log(run_id) if e["type"] == "tool.completed"] == ["Africa"]


async def test_a_published_ag_ui_client_answers_by_resume_and_replays_the_thread(system: Served) -> None:
    reply = {"input_required": {"status": "resolved", "payload": {"text": "Europe"}}}
    steps = (
        ask("advice, please"),
        {"do": "run", "runId": "run-2", "answers": reply},
        {"do": "connect", "runId": "again", "agent": "two"},
    )
    async with played(system.url, *steps, threadId=f"ag-ui-{time.monotonic_ns()}") as node:
        asked, answered, replayed = [await node.done() for _ in steps]
    assert [interrupt["message"] for interrupt in asked["interrupts"]] == ["Which region?"]
    assert check(answered).results().popitem()[1] == "Europe"
    assert answered["events"][-1]["outcome"] == {"type": "success"}
    assert {m["id"]: m for m in replayed["messages"]} == {m["id"]: m for m in answered["messages"]}
    assert replayed["state"] == answered["state"]


def test_a_message_steers_what_is_under_way_and_one_step_is_ended_alone(person: Person) -> None:
    run_id = person.ask("Something long")
    person.until(run_id, lambda s: Counter(t["status"] for t in s["plan"] or [])["running"] == 2)
    assert person.say(run_id, type="message", text="Keep it short.") == (202, None)
    begun = time.monotonic()
    assert person.say(run_id, type="cancel_stage", stage="left") == (202, None)
    state = person.until(run_id, lambda s: {t["id"]: t["status"] for t in s["plan"]}["left"] == "skipped")
    took = time.monotonic() - begun
    assert person.say(run_id, type="cancel_stage", stage="left") == (409, "stage_finished")
    assert state["state"] == "running"
    assert person.until(run_id, ended)["state"] == "completed"
    log = person.log(run_id)
    skipped = next(n for n, e in enumerate(log) if e["type"] == "stage.skipped")
    assert not [e for e in log[skipped + 1 :] if e.get("stage") == "left"]
    assert {e["stage"] for e in log if e["type"] == "input.delivered"} == {"right", "write"}
    print(f"the step was over {took:.1f} s after it was cancelled")
    assert took < 5


async def test_the_published_ai_sdk_refuses_a_call_and_reads_on_in_the_same_message(system: Served) -> None:
    async with chat(system.url, "mail-chat", automatic="approvals") as one:
        seen = await one.do("send", text="Please mail Ann.")
        (tool,) = seen.parts("dynamic-tool")
        assert (tool["toolName"], tool["state"], seen.status) == ("send", "approval-requested", "ready")
        await one.do("approve", approval=tool["approval"]["id"], approved=False, reason="not yet")
        await one.do("until", words="words of clerk")
        seen = await one.do("quiet")
        assert (seen.status, len(seen.messages), len(seen.requests)) == ("ready", 2, 2)
        (tool,) = seen.parts("dynamic-tool")
        assert (tool["state"], tool["approval"]["reason"]) == ("output-denied", "not yet")
        again = await one.do("resume")
        assert again.texts() == seen.texts()


def test_a_call_is_approved_as_it_is_after_a_restart_and_runs_once(
    system: Served, person: Person, folder: Path
) -> None:
    """The last one here: it stops the system."""
    run_id = person.ask("A mail to Ann")
    asked = person.asked(run_id)
    assert (asked["kind"], asked["name"], asked["arguments"]) == ("tool", "send", {"to": "Ann"})
    assert person.approve(run_id, asked, arguments_hash="0" * 64) == (409, "arguments_changed")
    system.stop()
    with started(folder) as again:
        other = Person(again)
        assert other.see(run_id)["state"] == "waiting"
        assert not (folder / "outbox").exists()
        assert other.approve(run_id, asked) == (202, None)
        assert other.approve(run_id, asked)[0] == 409
        assert other.until(run_id, ended)["state"] == "completed"
        assert (folder / "outbox").read_text() == "Ann\n"
        log = other.log(run_id)
        assert [e["type"] for e in log].count("tool.called") == 1
        assert [e["type"] for e in log].count("recovery.resumed") == 0, "nobody was lost"
        other.http.close()
