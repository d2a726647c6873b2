"""Logs made by hand: what the kept ones do not have."""

from __future__ import annotations

from runtime.events import catalog as ev
from runtime.events.codec import encode
from runtime.events.envelope import Draft, Stored
from runtime.events.messages import TextBlock, ToolUseBlock, Usage
from runtime.events.plan import Plan, Todo

RUN = "11111111-1111-4111-8111-111111111111"

PLAN = Plan(
    todos=(
        Todo(id="a", title="Look", agent="research"),
        Todo(id="b", title="Look", agent="analysis"),
        Todo(id="w", title="Write", agent="writing", depends_on=("a", "b")),
    )
)
"""Two stages of the same title."""


class Made:
    """A log that grows. ``say`` adds events of one place."""

    def __init__(self, **accepted: object) -> None:
        self.events: list[Stored] = []
        self.say(ev.RunAccepted(input=ev.RunInput(question="Why?", **accepted)), epoch=0)  # type: ignore[arg-type]
        self.say(ev.RunStarted(epoch=1, owner="o", code_version="1"))

    def say(self, *events: ev.Event, epoch: int = 1, **place: object) -> Made:
        for event in events:
            seq = len(self.events) + 1
            record = encode(Draft(event, **place), RUN, 1700000000.0 + seq)  # type: ignore[arg-type]
            self.events.append(Stored(seq, epoch, record.type, record.family, record.stage, record.body))
        return self

    def planned(self) -> Made:
        return self.say(ev.PlanCommitted(plan=PLAN))

    def begun(self, stage: str, agent: str) -> Made:
        return self.say(ev.StageStarted(index=1, of=3, title="Look", todo=stage), stage=stage, agent=agent)

    def done(self, stage: str, agent: str, text: str = "t") -> Made:
        done = ev.StageCompleted(index=1, of=3, title="Look", todo=stage, output=text, summary="s", context="c")
        return self.say(done, stage=stage, agent=agent)


def turned(*blocks: TextBlock | ToolUseBlock, **more: object) -> ev.TurnCompleted:
    usage = Usage(input_tokens=10, output_tokens=2, cache_read_tokens=3, cache_write_tokens=4)
    return ev.TurnCompleted(content=blocks, stop_reason="end_turn", usage=usage, model="m", **more)  # type: ignore[arg-type]


def use(call_id: str, name: str = "look", **arguments: object) -> ToolUseBlock:
    return ToolUseBlock(id=call_id, name=name, input=arguments)


def with_everything() -> list[Stored]:
    """Thinking, calls side by side, a delegate, a withdrawn attempt, a retried stage, questions, and an end."""
    made = Made().planned().begun("a", "research").begun("b", "analysis")
    a = {"stage": "a", "agent": "research", "turn": 1, "attempt": 1}
    b = {"stage": "b", "agent": "analysis", "turn": 1, "attempt": 1}
    inner = {"stage": "a", "agent": "helper", "turn": 1, "attempt": 1, "call": "1.c1"}
    made.say(ev.TurnDelta(kind="thinking", text="hm "), **a).say(ev.TurnDelta(kind="thinking", text="so"), **a)
    made.say(ev.TurnDelta(text="Left"), **b).say(ev.TurnDelta(text="First "), **a)
    made.say(ev.TurnDelta(kind="thinking", text="again"), **a).say(ev.TurnDelta(text="part."), **a)
    made.say(ev.TurnDelta(kind="tool_input", text='{"agent":', call_id="c1", name="delegate"), **a)
    made.say(ev.TurnDelta(kind="tool_input", text='{"q":1}', call_id="c2", name="look"), **a)
    made.say(ev.TurnDelta(kind="tool_input", text='"helper"}', call_id="c1", name="delegate"), **a)
    made.say(turned(TextBlock(text="First part."), use("c1", "delegate", agent="helper"), use("c2", q=1)), **a)
    made.say(ev.TurnSuperseded(reason="overloaded"), **b)
    made.say(ev.ToolCalled(call_id="c1", name="delegate", arguments={"agent": "helper"}, delegate="helper"), **a)
    made.say(ev.ToolCalled(call_id="c2", name="look", arguments={"q": 1}), **a)
    made.say(ev.TurnDelta(text="inner words"), **inner).say(
        ev.ToolCompleted(call_id="c2", name="look", result="2"), **a
    )
    made.say(ev.TurnDelta(text="Right"), **{**b, "attempt": 2})
    made.say(turned(TextBlock(text="inner words"), use("c9")), **inner)
    made.say(ev.ToolCalled(call_id="c9", name="look", arguments={"deep": True}), **inner)
    made.say(ev.ToolCompleted(call_id="c9", name="look", result="no", is_error=True), **inner)
    made.say(ev.ToolCompleted(call_id="c1", name="delegate", result="inner answer"), **a)
    made.say(turned(TextBlock(text="Right so.")), **{**b, "attempt": 2})
    made.say(ev.CitationAdded(source_id="1", title="T", location="l:1", quote="q"), stage="a", agent="research")
    made.say(
        ev.StageFailed(todo="b", title="Look", code="x", message="m", attempts=1, decision="retry"), stage="b"
    ).begun("b", "analysis")
    made.say(ev.TurnDelta(text="Better"), **{**b, "turn": 2}).say(turned(TextBlock(text="Best")), **{**b, "turn": 2})
    made.done("a", "research").done("b", "analysis")
    made.say(ev.RecoveryRetrying(failure="overloaded", message="m", attempt=1, of=4, delay_s=0.5), stage="w")
    made.say(ev.Custom(name="shop.price", value={"eur": 3}), stage="w", agent="writing").say(ev.Hidden())
    made.say(ev.StageSkipped(todo="w", title="Write", reason="not needed"), stage="w")
    return made.say(ev.RunCompleted(answer="The answer.")).events


def with_people() -> tuple[list[Stored], int, int]:
    """A plan to approve, then a tool to approve and a question beside it; the log, and where it waits."""
    plan = ev.ApprovalRequested(approval="plan", kind="plan", what="This plan?", arguments_hash="aa", expires_at=1.7e9)
    made = Made().planned().say(plan)
    made.say(ev.RunWaiting(reason="plan", approvals=("plan",)))
    first = len(made.events)
    made.say(ev.ApprovalGiven(approval="plan", approved=True, arguments_hash="aa", by="user"))
    made.say(ev.RunStarted(epoch=2, owner="o", code_version="1"), epoch=2).begun("a", "research").begun("b", "analysis")
    a = {"stage": "a", "agent": "research", "turn": 1, "attempt": 1}
    made.say(ev.TurnDelta(text="Sending."), **a)
    made.say(ev.TurnDelta(kind="tool_input", text='{"to":"x"}', call_id="c1", name="send"), **a)
    made.say(turned(TextBlock(text="Sending."), use("c1", "send", to="x")), **a)
    made.say(
        ev.ApprovalRequested(
            approval="a:1.c1", kind="tool", what="Run send?", arguments_hash="bb", expires_at=1.7e9, call_id="c1",
            name="send", arguments={"to": "x"},
        ),
        stage="a", agent="research",
    )  # fmt: skip
    b = {"stage": "b", "agent": "analysis"}
    made.say(turned(use("q1", "ask_person", question="Where?")), turn=1, attempt=1, **b)
    made.say(
        ev.ApprovalRequested(
            approval="b:1.q1", kind="question", what="Where?", arguments_hash="cc", expires_at=1.7e9, call_id="q1",
            options=("here", "there"),
        ),
        **b,
    )  # fmt: skip
    made.say(ev.RunWaiting(reason="people", approvals=("a:1.c1", "b:1.q1")))
    second = len(made.events)
    made.say(ev.ApprovalGiven(approval="a:1.c1", approved=True, arguments_hash="bb", by="user"), stage="a")
    made.say(ev.ApprovalGiven(approval="b:1.q1", approved=True, arguments_hash="cc", by="user", text="here"), stage="b")
    made.say(ev.RunStarted(epoch=3, owner="o", code_version="1"), epoch=3)
    made.say(ev.ToolCalled(call_id="c1", name="send", arguments={"to": "x"}), turn=1, stage="a", agent="research")
    made.say(ev.ToolCompleted(call_id="c1", name="send", result="sent"), turn=1, stage="a", agent="research")
    made.say(ev.ToolCalled(call_id="q1", name="ask_person", arguments={"question": "Where?"}), turn=1, **b)
    made.say(ev.ToolCompleted(call_id="q1", name="ask_person", result="here"), turn=1, **b)
    made.done("a", "research").done("b", "analysis")
    return made.say(ev.RunCompleted(answer="Sent.")).events, first, second
