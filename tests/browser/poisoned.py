"""A run in whose every text a payload stands, as the bytes of its event stream."""

from __future__ import annotations

from runtime.events import catalog as ev
from runtime.events.attachments import Attachment
from runtime.events.envelope import Draft
from runtime.events.messages import TextBlock, ThinkingBlock, Usage
from runtime.events.plan import Plan, Todo
from runtime.generator.sse import OPENING, frame
from tests.client.raw_server import stored

ENDS = ("completed", "failed", "waiting")


def poisoned(text: str, end: str) -> bytes:
    """The stream of a run that says ``text`` wherever it can, and ends in that way."""
    text = text.replace("\x00", "\ufffd")  # no log holds it
    short = text[:120]
    todos = (
        Todo(id="a", title=short, agent="research"),
        Todo(id="b", title=short, agent="writing", depends_on=("a",)),
    )
    events = [
        *_beginning(text, short),
        ev.PlanCommitted(plan=Plan(todos=todos)),
        *_stage(text, short),
        *_end(text, end),
    ]
    return OPENING + b"".join(frame(event) for event in stored(events))


def _beginning(text: str, short: str) -> list[Draft | ev.Event]:
    attached = Attachment(type="text", media_type="text/plain", data="eA==", name=short)
    asked = ev.RunInput(question=text, documents=short, attachments=(attached,))
    return [
        ev.RunAccepted(input=asked, conversation_id="c", resumed_from="x"),
        ev.RunStarted(epoch=1, owner=text, code_version=text, models={"planner": text}),
        Draft(ev.AgentStarted(model=text), agent="planner"),
        Draft(ev.AgentFailed(ms=1, code=short, message=text, fatal=False), agent="planner"),
        Draft(ev.AgentStarted(model=text), agent=short),
        Draft(ev.RecoveryRetrying(failure=text, message=text, attempt=1, of=4, delay_s=0.1), agent="planner"),
        ev.GuardrailVerdict(allowed=True, category=text, reason=text),
        ev.TitleSet(title=short),
    ]


def _stage(text: str, short: str) -> list[Draft | ev.Event]:
    def here(event: ev.Event, turn: int | None = 1) -> Draft:
        return Draft(event, stage="a", agent="research", turn=turn, attempt=1)

    blocks = (ThinkingBlock(thinking=text), TextBlock(text=f"{text} [1]"))
    called = ev.ToolCalled(
        call_id="c", name=short, title=short, icon=text, description=text, arguments={short: text, "list": [text]}
    )
    cited = [ev.CitationAdded(source_id=n, title=short, location=text, quote=text) for n in ("1", text)]
    return [
        here(ev.StageStarted(index=1, of=2, title=short, todo="a", context=text)),
        here(ev.TurnStarted(model=text, request_hash=text)),
        here(ev.TurnDelta(kind="thinking", text=text)),
        here(ev.TurnDelta(text=text)),
        here(called),
        here(ev.ToolCompleted(call_id="c", name=short, title=short, icon=text, result=text, is_error=True)),
        here(ev.ToolArgumentsInvalid(call_id="d", name=short, message=text)),
        *(here(c) for c in cited),
        here(ev.RecoveryFellBack(from_model=text, to_model=text, failure=text)),
        here(ev.RecoveryToolSwitchedOff(name=text, failures=3, message=text)),
        here(ev.Custom(name=text, value={text: text})),
        here(ev.TurnCompleted(content=blocks, stop_reason="end_turn", usage=Usage(), model=text)),
        ev.InputReceived(input="m", text=text),
    ]


def _end(text: str, end: str) -> list[Draft | ev.Event]:
    short = text[:120]
    done = ev.StageCompleted(index=1, of=2, title=short, todo="a", output=f"{text} [1]", summary=text, context=text)
    if end == "waiting":
        common = {"arguments_hash": "h", "expires_at": 2e9, "what": text, "reason": text}
        return [
            ev.ApprovalRequested(approval="p", kind="plan", **common),  # type: ignore[arg-type]
            Draft(
                ev.ApprovalRequested(approval="t", kind="tool", name=short, arguments={short: text}, **common),  # type: ignore[arg-type]
                stage="a",
            ),
            Draft(ev.ApprovalRequested(approval="q", kind="question", options=(text,), **common), stage="a"),  # type: ignore[arg-type]
            ev.RunWaiting(reason=text, approvals=("p", "t", "q")),
        ]
    if end == "failed":
        failed = ev.StageFailed(todo="a", title=short, code=text, message=text, attempts=1, decision="stop")
        hint = ev.ResumeHint(possible=True, how=text)
        over = ev.RunFailed(code=text, message=text, layer="model", retryable=True, resume=hint)
        return [Draft(failed, stage="a", agent="research"), over]
    return [
        Draft(done, stage="a", agent="research"),
        Draft(ev.StageSkipped(todo="b", title=short, reason=text), stage="b"),
        ev.RunCompleted(answer=f"{text} [1]", note=text, stopped=text),
    ]
