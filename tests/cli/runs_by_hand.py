"""Runs written by hand: what the views are examined with."""

from __future__ import annotations

from runtime.events import catalog as ev
from runtime.events.codec import decode
from runtime.events.envelope import Draft, Envelope, Stored
from runtime.events.messages import TextBlock, Usage
from runtime.events.plan import Plan, Todo
from tests.client.raw_server import stored

QUESTION = "How is a river crossed?"
PLAN = Plan(
    todos=(
        Todo(id="find", title="Find passages about crossings", agent="research"),
        Todo(id="write", title="Write the answer", agent="writing", depends_on=("find",)),
    )
)
ANSWER = "A river is crossed by a **bridge** [1].\n\n- on foot [2]"


def staged(stage: str, agent: str, *events: ev.Event, turn: int = 1, attempt: int = 1) -> list[Draft]:
    return [Draft(e, stage=stage, agent=agent, turn=turn, attempt=attempt) for e in events]


def turn(stage: str, agent: str, text: str, *, number: int = 1, attempt: int = 1) -> list[Draft]:
    pieces = [ev.TurnDelta(text=text[i : i + 7]) for i in range(0, len(text), 7)]
    usage = Usage(input_tokens=10, output_tokens=5)
    whole = ev.TurnCompleted(content=(TextBlock(text=text),), stop_reason="end_turn", usage=usage, model="m")
    started = ev.TurnStarted(model="m", request_hash="h")
    return staged(stage, agent, started, *pieces, whole, turn=number, attempt=attempt)


def beginning(allowed: bool = True) -> list[Draft | ev.Event]:
    category, reason = ("ok", "harmless") if allowed else ("weapons", "It asks for harm.")
    return [
        ev.RunAccepted(input=ev.RunInput(question=QUESTION)),
        ev.RunStarted(epoch=1, owner="e", code_version="0", models={"planner": "offline:extractive"}),
        Draft(ev.AgentStarted(model="offline:extractive"), agent="planner"),
        Draft(ev.AgentStarted(model="offline:extractive"), agent="guardrail"),
        Draft(ev.AgentCompleted(ms=400), agent="guardrail"),
        ev.GuardrailVerdict(allowed=allowed, category=category, reason=reason),
        Draft(ev.AgentCompleted(ms=900), agent="planner"),
        ev.TitleSet(title="Crossing rivers"),
    ]


def find_begins() -> list[Draft | ev.Event]:
    called = ev.ToolCalled(call_id="c1", name="search_documents", arguments={"query": "bridge", "limit": 5})
    return [
        ev.PlanCommitted(plan=PLAN),
        *staged("find", "research", ev.StageDispatched(dispatch=1, lease_s=10)),
        *staged("find", "research", ev.StageStarted(index=1, of=2, title=PLAN.todos[0].title, todo="find")),
        ev.Custom(name="indexing", value={"done": 3, "total": 12}),
        *staged("find", "research", called),
    ]


def find_answers() -> list[Draft | ev.Event]:
    answered = ev.ToolCompleted(call_id="c1", name="search_documents", result="2 passages", ms=12)
    return [
        *staged("find", "research", answered),
        ev.Custom(name="indexing", value={"done": 12, "total": 12}),
        *turn("find", "research", "Two passages speak of bridges.", number=2),
    ]


def find_done() -> list[Draft | ev.Event]:
    title = PLAN.todos[0].title
    done = ev.StageCompleted(
        index=1, of=2, title=title, todo="find", output="Two.", summary="Two.", context="Two.", tool_calls=1
    )
    return [*staged("find", "research", done)]


def write_done() -> list[Draft | ev.Event]:
    cites = [
        ev.CitationAdded(source_id="1", title="Bridges", location="bridges.md:3", quote="a bridge"),
        ev.CitationAdded(source_id="2", title="Fords", location="fords.md:9", quote="on foot"),
        ev.CitationAdded(source_id="3", title="Unused", location="unused.md:1", quote="x"),
    ]
    done = ev.StageCompleted(
        index=2, of=2, title=PLAN.todos[1].title, todo="write", output=ANSWER, summary="s", context="c", tool_calls=0
    )
    started = ev.StageStarted(index=2, of=2, title=PLAN.todos[1].title, todo="write")
    return [
        *staged("write", "writing", started, *cites),
        *turn("write", "writing", ANSWER),
        *staged("write", "writing", done),
    ]


OUTPUT = ev.StageOutput(stage="find", title=PLAN.todos[0].title, agent="research", text="Two passages.")
END = ev.RunCompleted(
    answer=ANSWER, usage=Usage(input_tokens=20, output_tokens=10), elapsed_s=4.2, note="Made by the offline engine."
)

RUNNING = stored([*beginning(), *find_begins()])
SUCCESS = stored([*beginning(), *find_begins(), *find_answers(), *find_done(), *write_done(), END])
GUARDED = stored([*beginning(False), ev.RunCompleted(answer="", stopped="It asks for harm.", elapsed_s=1.0)])
FAILED = stored(
    [
        *beginning(),
        *find_begins(),
        *find_answers(),
        *find_done(),
        *staged("write", "writing", ev.StageStarted(index=2, of=2, title="Write the answer", todo="write")),
        *staged("write", "writing", ev.TurnDelta(text="Half a sen")),
        *staged("write", "writing", ev.TurnSuperseded(reason="stream broken")),
        *staged(
            "write",
            "writing",
            ev.RecoveryRetrying(failure="overloaded", message="529", attempt=2, of=4, delay_s=1.5),
            ev.StageFailed(
                todo="write", title="Write the answer", code="overloaded", message="busy", attempts=4, decision="stop"
            ),
        ),
        ev.RunFailed(
            code="overloaded",
            message="the model is overloaded",
            layer="model",
            retryable=True,
            completed=(OUTPUT,),
            resume=ev.ResumeHint(possible=True, how="ask again in a minute"),
        ),
    ]
)
DOUBTFUL = stored(
    [
        *beginning(),
        *find_begins(),
        *staged("find", "research", ev.ToolCalled(call_id="c2", name="book_room", arguments={}, kind="at_most_once")),
        *staged(
            "find",
            "research",
            ev.ToolOutcomeUnknown(call_id="c2", name="book_room", known="it had begun when its process was lost"),
            ev.RecoveryToolSwitchedOff(
                name="search_documents",
                failures=3,
                message="Search documents failed 3 times in a row and is switched off",
            ),
        ),
        ev.RunWaiting(reason="the model's provider limits the rate of requests", until=1_700_000_330.0),
        ev.RunStarted(epoch=2, owner="f", code_version="0"),
        ev.RunFailed(
            code="budget_exceeded",
            message="the next model call does not fit the budget",
            layer="executor",
            retryable=True,
            resume=ev.ResumeHint(possible=True, how="`headrace resume` runs the same plan from its first step."),
        ),
    ]
)
LIMITED = stored(
    [
        *beginning(),
        *find_begins(),
        *staged("find", "research", ev.RecoveryResumed(reason="tool_call_limit", attempt=1, of=3, tool_calls=25)),
    ]
)
CANCELLED = stored(
    [
        *beginning(),
        *find_begins(),
        ev.RunCancelRequested(by="user"),
        ev.RunCancelled(reason="asked by the user", outputs=(OUTPUT,)),
    ]
)
RESUMED = stored(
    [
        ev.RunAccepted(input=ev.RunInput(question=QUESTION), resumed_from="the-run-before"),
        Draft(ev.TitleSet(title="Crossing rivers"), agent="titler"),
        Draft(ev.GuardrailVerdict(allowed=True, category="ok", reason="harmless"), agent="guardrail"),
        ev.PlanCommitted(plan=PLAN),
        *(Draft(d.event.model_copy(update={"carried_from": "the-run-before"}), d.stage, d.agent) for d in find_done()),  # type: ignore[union-attr]
        ev.RunStarted(epoch=1, owner="e", code_version="0"),
        *write_done(),
        END,
    ]
)
HOSTILE = stored(
    [
        *beginning(),
        *find_begins(),
        *turn("find", "research", "\x1b[2J\x1b]0;owned\x07[red]not markup[/red] \u202eabc", number=2),
    ]
)


def envelopes(log: list[Stored]) -> list[Envelope]:
    return [decode(event) for event in log]
