"""Logs made by hand for the projection, and what it makes of them."""

from __future__ import annotations

from typing import Any

from runtime.events import catalog as ev
from runtime.events.codec import encode
from runtime.events.envelope import Draft, Stored
from runtime.events.messages import TextBlock, ToolUseBlock, Usage
from runtime.events.plan import Plan, Todo
from runtime.generator.protocols.ai_sdk.projection import Projection

RUN_ID = "00000000-0000-4000-8000-000000000001"
PAIR = Plan(todos=(Todo(id="a", title="Do a", agent="research"), Todo(id="b", title="Do b", agent="analysis")))


def log(*drafts: Draft | ev.Event) -> list[Stored]:
    """As it stands in the store, from 1 on."""
    stored = []
    for seq, one in enumerate(drafts, 1):
        record = encode(one if isinstance(one, Draft) else Draft(one), RUN_ID, 1000.0 + seq)
        stored.append(Stored(seq, 1, record.type, record.family, record.stage, record.body))
    return stored


def chunks_of(stored: list[Stored], version: int = 6) -> list[dict[str, Any]]:
    projection = Projection(version)  # type: ignore[arg-type]
    return [chunk for one in stored for chunk in projection.project(one)]


def begun(*, metadata: dict[str, str] | None = None, plan: Plan = PAIR) -> list[Draft | ev.Event]:
    given = ev.RunInput(question="Why?", metadata=metadata or {})
    return [
        ev.RunAccepted(input=given, conversation_id="chat"),
        ev.RunStarted(epoch=1, owner="e", code_version="0"),
        ev.PlanCommitted(plan=plan),
    ]


def started(stage: str = "a") -> Draft:
    return Draft(ev.StageStarted(index=1, of=2, title=f"Do {stage}", todo=stage), stage=stage, agent="research")


def delta(text: str, stage: str = "a", *, turn: int = 1, attempt: int = 1, kind: str = "text", **more: str) -> Draft:
    event = ev.TurnDelta(kind=kind, text=text, **more)  # type: ignore[arg-type]
    return Draft(event, stage=stage, agent="research", turn=turn, attempt=attempt)


def turned(
    text: str, stage: str = "a", *uses: ToolUseBlock, turn: int = 1, attempt: int = 1, stop: str = "end_turn"
) -> Draft:
    content = (*((TextBlock(text=text),) if text else ()), *uses)
    event = ev.TurnCompleted(content=content, stop_reason=stop, usage=Usage(), model="m")
    return Draft(event, stage=stage, agent="research", turn=turn, attempt=attempt)


def at(event: ev.Event, stage: str = "a", *, turn: int | None = 1, attempt: int | None = None) -> Draft:
    return Draft(event, stage=stage, agent="research", turn=turn, attempt=attempt)


def done(output: str, stage: str = "a", **more: Any) -> Draft:
    event = ev.StageCompleted(
        index=1, of=2, title=f"Do {stage}", todo=stage, output=output, summary="s", context="c", **more
    )
    return Draft(event, stage=stage, agent="research")


def completed(answer: str, *outputs: tuple[str, str], stopped: str | None = None) -> ev.RunCompleted:
    made = tuple(ev.StageOutput(stage=s, title=s, agent="research", text=t) for s, t in outputs)
    return ev.RunCompleted(answer=answer, outputs=made, stopped=stopped)


def asks_for(call_id: str = "c1", *, kind: str = "tool", turn: int = 1, stage: str = "a") -> Draft:
    """A call that a person must approve, or is asked by."""
    named = {"name": "send", "arguments": {"to": "x"}} if kind == "tool" else {}
    event = ev.ApprovalRequested(
        approval=f"{stage}:{turn}.{call_id}", kind=kind, what="Send it?", arguments_hash="h", expires_at=9e9,
        call_id=call_id, reason="it sends", **named,
    )  # type: ignore[arg-type]  # fmt: skip
    return at(event, stage, turn=turn)


def waits(*approvals: str) -> ev.RunWaiting:
    return ev.RunWaiting(reason="people", until=9e9, approvals=approvals)


def says_yes(approval: str, *, approved: bool = True, text: str = "") -> Draft:
    event = ev.ApprovalGiven(approval=approval, approved=approved, arguments_hash="h", by="user", text=text)
    return Draft(event, stage=approval.partition(":")[0] if ":" in approval else None)
