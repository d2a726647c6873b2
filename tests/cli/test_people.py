"""``approve``, ``answer``, ``say`` and ``cancel --stage`` find what is meant and say it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import runtime.cli.people as people
from runtime.cli.app import app

runner = CliRunner()


def asked(name: str, kind: str, *, is_open: bool = True) -> dict[str, object]:
    return {"approval": name, "kind": kind, "what": f"{name}?", "arguments_hash": f"hash of {name}", "open": is_open}


class Recorded:
    """A client that answers with one snapshot and keeps what is said."""

    approvals: list[dict[str, object]]
    said: list[dict[str, object]]

    def __init__(self, url: str) -> None:
        self.url = url

    async def __aenter__(self) -> Recorded:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Nothing is held."""

    async def snapshot(self, run_id: str) -> dict[str, object]:
        return {"approvals": Recorded.approvals}

    async def say(self, run_id: str, **body: object) -> dict[str, object]:
        Recorded.said.append({"run": run_id, **body})
        return {}


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    Recorded.said, Recorded.approvals = [], [asked("plan", "plan"), asked("old", "tool", is_open=False)]
    monkeypatch.setattr(people, "HeadraceClient", Recorded)


def test_what_is_asked_is_approved_with_its_hash_or_refused_with_words() -> None:
    assert runner.invoke(app, ["approve", "r1"]).exit_code == 0
    assert runner.invoke(app, ["approve", "r1", "--refuse", "too dear"]).exit_code == 0
    yes = {"run": "r1", "type": "approve", "approval": "plan", "arguments_hash": "hash of plan", "approved": True}
    assert Recorded.said == [{**yes, "text": ""}, {**yes, "approved": False, "text": "too dear"}]


def test_of_several_the_one_must_be_named() -> None:
    Recorded.approvals.append(asked("call", "tool"))
    result = runner.invoke(app, ["approve", "r1"])
    assert result.exit_code != 0
    assert "plan: plan?; call: call?" in result.stderr
    assert Recorded.said == []
    assert runner.invoke(app, ["approve", "r1", "call"]).exit_code == 0
    assert Recorded.said[0]["approval"] == "call"


def test_nothing_asked_is_said_so() -> None:
    Recorded.approvals = []
    result = runner.invoke(app, ["answer", "r1", "Europe"])
    assert result.exit_code != 0
    assert "asks nothing" in result.stderr


def test_answers_messages_and_ended_steps() -> None:
    Recorded.approvals = [asked("find.1", "question")]
    assert runner.invoke(app, ["answer", "r1", "Europe"]).exit_code == 0
    assert runner.invoke(app, ["say", "r1", "Short.", "--stage", "find"]).exit_code == 0
    assert runner.invoke(app, ["cancel", "r1", "--stage", "find"]).exit_code == 0
    assert Recorded.said == [
        {"run": "r1", "type": "answer", "approval": "find.1", "text": "Europe"},
        {"run": "r1", "type": "message", "text": "Short.", "stage": "find"},
        {"run": "r1", "type": "cancel_stage", "stage": "find"},
    ]
