"""Logs written by hand for the clients' folds: what the golden logs do not have."""

from __future__ import annotations

from collections.abc import Callable

from runtime.events import catalog as ev
from runtime.events.codec import encode, public_json
from runtime.events.envelope import Draft, Stored
from runtime.events.messages import OpaqueBlock, TextBlock, ThinkingBlock, ToolUseBlock, Usage
from runtime.events.plan import Plan, Todo

RUN_ID = "0b7e9a52-4c1d-4a53-9a55-0f6f6f6f6f6f"
AT = 1_700_000_000.0
FIND = Todo(id="find", title="Find", agent="research")
WEIGH = Todo(id="weigh", title="Weigh", agent="analysis", depends_on=("find",))
PLAN = Plan(todos=(FIND, WEIGH), max_parallel=2)
COST = Usage(input_tokens=10, output_tokens=3, cache_read_tokens=2, cost_usd=0.0011)
HINT = ev.ResumeHint(possible=True, how="Resume it.")

LOGS: dict[str, tuple[str, Callable[[], list[str]]]] = {}
"""What each is about, and how its lines are made, by its name."""


def log(function: Callable[[], list[str]]) -> Callable[[], list[str]]:
    LOGS[function.__name__] = (" ".join((function.__doc__ or "").split()), function)
    return function


def lines(*items: Draft | ev.Event | tuple[int, Draft | ev.Event] | str) -> list[str]:
    """Events as clients get them, numbered, half a second apart. A tuple has its epoch, and those after it too; a text
    is the rest of an event of another make."""
    epoch, out = 0, []
    for seq, item in enumerate(items, 1):
        if isinstance(item, tuple):
            epoch, item = item
        if isinstance(item, str):
            out.append(f'{{"seq":{seq},"epoch":{epoch},"run_id":"{RUN_ID}","at":{AT + seq / 2},{item}}}')
            continue
        record = encode(item if isinstance(item, Draft) else Draft(item), RUN_ID, AT + seq / 2)
        out.append(public_json(Stored(seq, epoch, record.type, record.family, record.stage, record.body)).decode())
    return out


def in_find(event: ev.Event, turn: int | None = None, attempt: int | None = None, call: str | None = None) -> Draft:
    return Draft(event, stage="find", agent="research", turn=turn, attempt=attempt, call=call)


def in_weigh(event: ev.Event, turn: int | None = None, attempt: int | None = None) -> Draft:
    return Draft(event, stage="weigh", agent="analysis", turn=turn, attempt=attempt)


def accepted(**more: object) -> ev.RunAccepted:
    return ev.RunAccepted(input=ev.RunInput(question="Why?", documents="/docs"), **more)  # type: ignore[arg-type]


def started(epoch: int) -> tuple[int, ev.RunStarted]:
    return epoch, ev.RunStarted(epoch=epoch, owner=f"e{epoch}", code_version="1", models={"research": "scripted:a"})


def stage_started(todo: Todo, index: int) -> ev.StageStarted:
    return ev.StageStarted(index=index, of=2, title=todo.title, todo=todo.id)


def stage_completed(todo: Todo, index: int, output: str, **more: object) -> ev.StageCompleted:
    what = {"index": index, "of": 2, "title": todo.title, "todo": todo.id}
    return ev.StageCompleted(**what, output=output, summary=output, context=f"from {todo.id}", **more)  # type: ignore[arg-type]


def begun(turn: int = 1, attempt: int = 1, call: str | None = None, model: str = "scripted:a", **more: object) -> Draft:
    event = ev.TurnStarted(model=model, request_hash="h", reserved_cost_usd=0.02, **more)  # type: ignore[arg-type]
    return in_find(event, turn, attempt, call)


def said(text: str, turn: int = 1, attempt: int = 1, call: str | None = None, **more: object) -> Draft:
    return in_find(ev.TurnDelta(text=text, **more), turn, attempt, call)  # type: ignore[arg-type]


def done(*content: object, turn: int = 1, attempt: int = 1, call: str | None = None, **more: object) -> Draft:
    blocks = tuple(TextBlock(text=block) if isinstance(block, str) else block for block in content)
    fields = {"stop_reason": "end_turn", "usage": COST, "model": "scripted:a", "released_cost_usd": 0.02, **more}
    return in_find(ev.TurnCompleted(content=blocks, **fields), turn, attempt, call)  # type: ignore[arg-type]


OPENING = (accepted(), started(1), ev.PlanCommitted(plan=PLAN))
FIND_BEGINS = (in_find(ev.StageDispatched(dispatch=1, lease_s=10)), in_find(stage_started(FIND, 1)))


@log
def withdrawn_turns() -> list[str]:
    """Attempts are withdrawn with all they said; thinking and tool input grow; a smaller model takes over; one fails."""
    search = ToolUseBlock(id="c1", name="search", input={"for": "tides"})
    return lines(
        *OPENING,
        *FIND_BEGINS,
        begun(),
        said("Hm", kind="thinking"),
        said(", tides", kind="thinking"),
        said("Wrong "),
        said('{"fo', kind="tool_input", call_id="c0", name="search"),
        in_find(ev.TurnSuperseded(reason="overloaded", released_cost_usd=0.02, spent_cost_usd=0.0075), 1, 1),
        said("too late"),
        in_find(ev.RecoveryRetrying(failure="overloaded", message="busy", attempt=1, of=4, delay_s=0.5), 1),
        begun(attempt=2),
        in_find(ev.TurnFailed(code="overloaded", message="busy", attempts=4, released_cost_usd=0.02), 1, 2),
        in_find(ev.RecoveryFellBack(from_model="scripted:a", to_model="scripted:b", failure="overloaded"), 1),
        begun(attempt=3, model="scripted:b"),
        said("Let "),
        said("me look 🌊", attempt=3),
        said('{"for":', attempt=3, kind="tool_input", call_id="c1", name="search"),
        said(' "tides"}', attempt=3, kind="tool_input", call_id="c1", name="search"),
        said('{"for": "moon"}', attempt=3, kind="tool_input", call_id="c2", name="search"),
        done(
            ThinkingBlock(thinking="Tides.", signature="s"),
            "Let me look.",
            search,
            OpaqueBlock(type="web_search_tool_result", content=[1]),  # type: ignore[call-arg]  # it keeps all fields
            attempt=3,
            model="scripted:b",
            stop_reason="tool_use",
            truncated=True,
        ),
        in_find(ev.UsageUpdated(usage=COST)),
        begun(turn=2),
    )


@log
def snapshots() -> list[str]:
    """A compacted log: the text of a turn in one piece, before and after its end; and a turn that sums up for the model."""
    return lines(
        *OPENING,
        *FIND_BEGINS,
        begun(),
        in_find(ev.TurnSnapshot(content=(TextBlock(text="Once"),)), 1, 1),
        said(" upon"),
        done("Once upon a time."),
        in_find(ev.TurnSnapshot(content=(TextBlock(text="Once upon a time."),)), 1, 1),
        begun(turn=2, purpose="summary"),
        said("sum", turn=2),
        done("In short.", turn=2, purpose="summary"),
        in_find(ev.RecoveryCompacted(summarised=2, tokens=90_000), 2),
        in_find(ev.RecoveryCompacted(shortened=3), 2),
        begun(turn=3),
    )


@log
def tools() -> list[str]:
    """Calls that run, fail, are not run, have unusable arguments, may have had their effect; the same ids in two turns."""
    uses = tuple(ToolUseBlock(id=f"c{n}", name="search", input={"n": n}) for n in range(4))
    call = {"name": "search", "title": "Search", "icon": "🔎"}
    return lines(
        *OPENING,
        *FIND_BEGINS,
        begun(),
        done("Look: ", *uses, stop_reason="tool_use"),
        in_find(ev.ToolCalled(call_id="c0", arguments={"n": 0}, description="Looks.", **call), 1),
        in_find(ev.ToolCalled(call_id="c1", arguments={"n": 1}, kind="idempotent", tags=("untrusted",), **call), 1),
        in_find(ev.CitationAdded(source_id="1", title="Guide", location="guide.md:3", quote="So it is."), 1),
        in_find(ev.ToolCompleted(call_id="c1", result="no", is_error=True, ms=7, **call), 1),
        in_find(ev.ToolCompleted(call_id="c0", result="yes", ms=12, **call), 1),
        in_find(ev.ToolCompleted(call_id="c2", result="Not run: the limit is reached.", is_error=True, **call), 1),
        in_find(ev.ToolArgumentsInvalid(call_id="c3", name="search", message="n is no text"), 1),
        in_find(ev.ToolArgumentsInvalid(call_id="cut", name="search", message="the JSON ends early"), 1),
        in_find(ev.RecoveryToolSwitchedOff(name="search", failures=3, message="search failed 3 times"), 1),
        in_find(ev.RecoveryResumed(reason="tool_call_limit", attempt=1, of=3, tool_calls=2)),
        begun(turn=2),
        done("Again: ", uses[0], turn=2, stop_reason="tool_use"),
        in_find(ev.ToolCalled(call_id="c0", arguments={"n": 0}, kind="at_most_once", **call), 2),
        in_find(ev.ToolOutcomeUnknown(call_id="c0", name="search", known="its process was lost"), 2),
        in_find(ev.Custom(name="progress", value={"done": 1, "of": [2, None]})),
        Draft(ev.Custom(name="note", value="of the run")),
    )


@log
def delegates() -> list[str]:
    """A stage's agent gives a task away, and that agent another: their turns and calls have paths and are not its own text."""
    task = {"name": "delegate", "arguments": {"task": "t"}, "kind": "at_most_once"}
    outer, inner = "1.c%2F1", "1.c%2F1/1.c%2F1"
    give = ToolUseBlock(id="c/1", name="delegate", input={"task": "t"})
    return lines(
        *OPENING,
        *FIND_BEGINS,
        begun(),
        done("I give it away.", give, stop_reason="tool_use"),
        in_find(ev.ToolCalled(call_id="c/1", delegate="analysis", **task), 1),
        begun(call=outer),
        said("Me too", call=outer),
        done("Me too.", give, call=outer, stop_reason="tool_use"),
        in_find(ev.ToolCalled(call_id="c/1", delegate="writing", **task), 1, call=outer),
        begun(call=inner),
        said("Done", call=inner),
        done("Done.", call=inner),
        in_find(ev.ToolCompleted(call_id="c/1", name="delegate", result="Done.", ms=3), 1, call=outer),
        begun(turn=2, call=outer),
        done("Well done.", turn=2, call=outer),
        in_find(ev.ToolCompleted(call_id="c/1", name="delegate", result="Well done.", ms=9), 1),
        begun(turn=2),
        said("It is done", turn=2),
    )


@log
def people() -> list[str]:
    """Approvals and questions, wrong and late answers, an edited plan, a refused call, what people say, a step ended."""
    ask = {"arguments_hash": "h1", "expires_at": AT + 9}
    edited = Plan(todos=(FIND, WEIGH), prefer_sequential=True)
    return lines(
        accepted(approve_plan=True, limits=ev.Limits(budget_usd=0.5), conversation_id="c1", title="Tides"),
        started(1),
        ev.ApprovalRequested(approval="plan", kind="plan", what="Do this?", reason="You asked for it.", **ask),
        ev.RunWaiting(reason="a person must answer", approvals=("plan",)),
        ev.ApprovalGiven(approval="plan", approved=True, arguments_hash="other", by="eve"),
        ev.ApprovalGiven(approval="nothing", approved=True, arguments_hash="h1", by="eve"),
        ev.ApprovalGiven(approval="plan", approved=True, arguments_hash="h1", by="ann", plan=edited),
        ev.ApprovalGiven(approval="plan", approved=False, arguments_hash="h1", by="eve", text="no"),
        started(1),
        ev.PlanCommitted(plan=edited),
        *FIND_BEGINS,
        in_find(
            ev.ApprovalRequested(
                approval="a1", kind="tool", what="Send it?", call_id="c1", name="send", arguments={"to": "x"}, **ask
            ),
            1,
        ),
        in_find(
            ev.ApprovalRequested(approval="q1", kind="question", what="Where?", options=("here", "there"), **ask), 1
        ),
        in_find(ev.ApprovalRequested(approval="q2", kind="question", what="When?", **ask), 1, call="1.c1"),
        ev.RunWaiting(reason="people must answer", until=AT + 5, approvals=("a1", "q1", "q2")),
        in_find(ev.ApprovalGiven(approval="a1", approved=False, arguments_hash="h1", by="ann", text="too dear")),
        in_find(ev.ApprovalGiven(approval="q1", approved=True, arguments_hash="h1", by="ann", text="there")),
        started(1),
        ev.InputReceived(input="m1", text="Only Europe.", by="ann"),
        in_find(ev.InputReceived(input="m2", text="Be short.")),
        in_find(ev.InputDelivered(input="m1", text="Only Europe.")),
        in_find(ev.InputDelivered(input="m2", text="Be short.")),
        in_find(ev.InputReceived(input="m3", kind="cancel_stage", text="enough")),
        in_find(ev.StageSkipped(todo="find", title="Find", reason="a person ended it")),
        in_weigh(ev.StageDispatched(dispatch=1, lease_s=10)),
        in_weigh(ev.InputDelivered(input="m1", text="Only Europe.")),
    )


@log
def lost_processes() -> list[str]:
    """Planning begins anew, then the run changes hands: a call is begun again, another is in doubt, a turn is withdrawn."""
    uses = tuple(ToolUseBlock(id=f"c{n}", name="read", input={}) for n in range(3))
    return lines(
        accepted(),
        started(1),
        Draft(ev.AgentStarted(model="scripted:a"), agent="planner"),
        Draft(ev.TurnStarted(model="scripted:a", request_hash="h"), agent="planner", turn=1, attempt=1),
        Draft(ev.TurnDelta(text="{"), agent="planner", turn=1, attempt=1),
        ev.StageDispatched(dispatch=2, lease_s=10),
        Draft(ev.TurnSuperseded(reason="lost"), agent="planner", turn=1, attempt=1),
        Draft(ev.AgentStarted(model="scripted:b"), agent="planner"),
        Draft(ev.RecoveryRetrying(failure="output_invalid", message="m", attempt=1, of=2, delay_s=0), agent="planner"),
        Draft(ev.AgentCompleted(ms=40), agent="planner"),
        ev.PlanCommitted(plan=PLAN),
        *FIND_BEGINS,
        begun(),
        done("Look: ", *uses, stop_reason="tool_use"),
        in_find(ev.ToolCalled(call_id="c0", name="read", arguments={}), 1),
        in_find(ev.ToolCalled(call_id="c1", name="read", arguments={}, kind="at_most_once"), 1),
        started(2),
        ev.RecoveryResumed(reason="takeover", attempt=1, of=5),
        in_find(ev.StageDispatched(dispatch=2, lease_s=10)),
        in_find(ev.ToolOutcomeUnknown(call_id="c1", name="read", known="it had begun"), 1),
        in_find(ev.ToolCalled(call_id="c0", name="read", arguments={}), 1),
        in_find(ev.ToolCompleted(call_id="c0", name="read", result="r", ms=1), 1),
        begun(turn=2),
        said("half", turn=2),
        started(3),
        in_find(ev.StageDispatched(dispatch=3, lease_s=10)),
        in_find(ev.TurnSuperseded(reason="its process was lost"), 2, 1),
        begun(turn=2, attempt=2),
        said("whole", turn=2, attempt=2),
    )


@log
def steps_that_fail() -> list[str]:
    """A step is tried again and leaves an open turn behind; another fails and the run goes on; a third is not run."""
    third = Todo(id="write", title="Write", agent="writing", depends_on=("weigh",))
    failed = {"code": "refused", "message": "no", "attempts": 1}
    return lines(
        accepted(),
        started(1),
        ev.PlanCommitted(plan=Plan(todos=(FIND, WEIGH, third))),
        *FIND_BEGINS,
        begun(),
        said("half"),
        in_find(ev.ToolCalled(call_id="c1", name="read", arguments={}), 1),
        in_find(ev.StageFailed(todo="find", title="Find", decision="retry", **failed)),
        in_find(ev.StageDispatched(dispatch=2, lease_s=10)),
        in_find(stage_started(FIND, 1)),
        begun(turn=2),
        done("Found.", turn=2),
        in_find(stage_completed(FIND, 1, "Found.", partial=True, tool_calls=1)),
        in_weigh(ev.StageDispatched(dispatch=1, lease_s=10)),
        in_weigh(ev.StageStarted(index=2, of=3, title="Weigh", todo="weigh", context="joined")),
        in_weigh(ev.StageFailed(todo="weigh", title="Weigh", decision="continue", **failed)),
        Draft(ev.StageSkipped(todo="write", title="Write", reason="stopped", stop="enough is known"), stage="write"),
        ev.RunCompleted(answer="Found.", usage=COST, elapsed_s=4, stopped="enough is known", note="scripted"),
    )


@log
def revised_plans() -> list[str]:
    """A new plan keeps a step, changes one and drops one, which a later plan brings back as if it had never been."""
    changed = Todo(id="weigh", title="Weigh again", agent="writing", depends_on=("find",))
    return lines(
        *OPENING,
        *FIND_BEGINS,
        begun(),
        done("Found."),
        in_find(stage_completed(FIND, 1, "Found.", stop="enough")),
        in_weigh(ev.StageDispatched(dispatch=1, lease_s=10)),
        in_weigh(stage_started(WEIGH, 2)),
        ev.PlanRevised(plan=Plan(todos=(FIND, changed)), reason="it was not enough"),
        ev.PlanRevised(plan=Plan(todos=(FIND,)), reason="it was"),
        in_weigh(ev.StageStarted(index=2, of=2, title="Weigh", todo="weigh")),
        ev.PlanRevised(plan=PLAN, reason="after all"),
    )


@log
def carried_over() -> list[str]:
    """A run that goes on from another: its steps are carried over; what was attached is shown; one agent fails."""
    attached = (
        {"type": "image", "media_type": "image/png", "data": "aGk="},
        {"type": "pdf", "url": "https://example.org/a.pdf", "name": "a.pdf"},
    )
    question = ev.RunInput.model_validate({"question": "And?", "metadata": {"team": "x"}, "attachments": attached})
    return lines(
        ev.RunAccepted(input=question, resumed_from="r0", title="Tides", limits=ev.Limits(deadline_s=60, tool_calls=5)),
        ev.GuardrailVerdict(allowed=True, category="none", reason="fine"),
        ev.PlanCommitted(plan=PLAN),
        in_find(ev.CitationAdded(source_id="1", title="Guide", location="guide.md:3", quote="So it is.")),
        in_find(stage_completed(FIND, 1, "Found.", carried_from="r0")),
        started(1),
        Draft(ev.AgentStarted(model="scripted:a"), agent="titler"),
        Draft(ev.AgentFailed(ms=3, code="refused", message="no", fatal=False), agent="titler"),
        Draft(ev.TitleSet(title="Tides again")),
    )


@log
def not_for_this_reader() -> list[str]:
    """Events that are hidden from this viewer, types of a later version, stages and agents nobody has heard of."""
    return lines(
        *OPENING,
        '"family":"system","type":"hidden","stage":"find","data":{}',
        '"family":"object","type":"plan.admired","data":{"by":["all"]}',
        *FIND_BEGINS,
        '"family":"token","type":"turn.hummed","stage":"find","agent":"research","turn":1,"data":{"tune":"la"}',
        begun(),
        said("Hello"),
        Draft(ev.TurnDelta(text="?"), stage="elsewhere", agent="research", turn=1, attempt=1),
        Draft(ev.TurnDelta(text="?"), agent="nobody", turn=1, attempt=1),
        Draft(ev.RecoveryRetrying(failure="x", message="m", attempt=1, of=2, delay_s=0), stage="elsewhere"),
        '"family":"system","type":"hidden","data":{}',
    )


@log
def odd_names() -> list[str]:
    """Names that mean something to JavaScript."""
    plan = Plan(todos=(Todo(id="__proto__", title="P", agent="constructor"), Todo(id="toString", title="T", agent="a")))
    place = {"stage": "__proto__", "agent": "constructor"}
    retry = ev.RecoveryRetrying(failure="__proto__", message="m", attempt=1, of=2, delay_s=0)
    return lines(
        accepted(),
        (1, ev.RunStarted(epoch=1, owner="e", code_version="1", models={"__proto__": "m", "constructor": "n"})),
        Draft(ev.AgentStarted(model="m"), agent="constructor"),
        Draft(retry, agent="constructor"),
        ev.PlanCommitted(plan=plan),
        Draft(ev.StageDispatched(dispatch=1, lease_s=1), **place),
        Draft(ev.TurnDelta(text="hi"), **place, turn=1, attempt=1),
        Draft(ev.ToolCalled(call_id="__proto__", name="toString", arguments={"__proto__": 1}), **place, turn=1),
        Draft(retry, **place),
        Draft(retry, **place),
        Draft(ev.ApprovalRequested(approval="valueOf", kind="plan", what="?", arguments_hash="h", expires_at=1.5)),
    )


def _ending(end: ev.Event) -> list[str]:
    return lines(
        *OPENING,
        Draft(ev.AgentStarted(model="scripted:a"), agent="titler"),
        *FIND_BEGINS,
        begun(),
        done("Found."),
        in_find(stage_completed(FIND, 1, "Found.")),
        in_weigh(ev.StageDispatched(dispatch=1, lease_s=10)),
        in_weigh(stage_started(WEIGH, 2)),
        in_weigh(ev.TurnStarted(model="scripted:a", request_hash="h", reserved_cost_usd=0.01), 1, 1),
        in_weigh(ev.TurnDelta(text="on the other "), 1, 1),
        in_weigh(ev.ToolCalled(call_id="c1", name="read", arguments={}), 1),
        in_weigh(ev.ApprovalRequested(approval="q", kind="question", what="?", arguments_hash="h", expires_at=AT)),
        ev.RunCancelRequested(by="user"),
        end,
    )


@log
def cancelled_at_work() -> list[str]:
    """A run that is cancelled with a turn, a call and a question open."""
    return _ending(ev.RunCancelled(reason="user", usage=COST))


@log
def failed_at_work() -> list[str]:
    """The same, failed."""
    end = ev.RunFailed(code="stage_failed", message="no", layer="pipeline", retryable=True, resume=HINT)
    return _ending(end)


@log
def expired_at_work() -> list[str]:
    """The same, out of time."""
    return _ending(ev.RunExpired(message="late", resume=ev.ResumeHint(possible=False, how="Ask again.")))
