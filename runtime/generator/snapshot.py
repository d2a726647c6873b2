"""The snapshot of a run: read its log without deltas, fold it, put it into the words of the contract."""

from __future__ import annotations

from runtime.events import catalog as ev
from runtime.events.codec import UnknownEvent, decode
from runtime.events.fold import RunState, StageState, fold
from runtime.executor.resume import hint_of, next_stage
from runtime.generator.contract import (
    AgentView,
    ApprovalView,
    BudgetView,
    CitationView,
    Guardrail,
    Links,
    OutputView,
    Resume,
    RunError,
    RunSnapshot,
    TodoView,
)
from runtime.generator.door import Door
from runtime.generator.sse import START, Cursor, cursor_of
from runtime.log.log import Run
from runtime.telemetry import logger

PAGE = 512
"""Events read at a time."""

_log = logger("generator.snapshot")


MICRO = 1_000_000
"""The store counts money in millionths of a US dollar."""


async def read_state(door: Door, run_id: str, *, strict: bool = False) -> tuple[RunState, Cursor]:
    """The fold of the run's log, and the cursor of its last event that is no delta.

    Types this version does not know are passed over, or raise :class:`UnknownEvent` when ``strict``.
    """
    state, cursor = RunState(), START
    while True:
        page = await door.page(run_id, after=cursor.seq, limit=PAGE, deltas=False)
        for stored in page:
            cursor = cursor_of(stored)
            try:
                state = fold(state, decode(stored))
            except UnknownEvent as error:  # written by a newer version; clients pass such events over, and so do we
                if strict:
                    raise
                _log.warning("run %s: %s", run_id, error)
        if len(page) < PAGE:
            return state, cursor


def links_of(run_id: str, *, ended: bool = False) -> Links:
    """The paths of a run; an ended one can be resumed from."""
    path = f"/v1/runs/{run_id}"
    resume = f"{path}/resume" if ended else None
    return Links(self=path, events=f"{path}/events", cancel=f"{path}/cancel", input=f"{path}/input", resume=resume)


def snapshot_of(run: Run, state: RunState, cursor: Cursor, *, now: float) -> RunSnapshot:
    """``run`` and the fold of its log, as answered by ``GET /v1/runs/{id}``."""
    end = state.end
    accepted = state.accepted
    return RunSnapshot(
        run_id=run.run_id,
        # the fold is read after the row, so it is never behind; but a claim is seen in the row first
        state=run.status if state.status == "accepted" else state.status,
        question=accepted.input.question if accepted else run.question,
        conversation_id=run.conversation_id,
        resumed_from=accepted.resumed_from if accepted else None,
        title=state.title,
        guardrail=_guardrail(state.verdict),
        plan=_plan(state),
        agents=[
            AgentView(name=name, status=a.status, model=a.model, ms=a.ms, message=a.message)
            for name, a in state.agents.items()
        ],
        outputs=[_output(stage, stage.completed) for stage in state.stages.values() if stage.completed is not None],
        answer=end.answer if isinstance(end, ev.RunCompleted) else None,
        stopped=end.stopped if isinstance(end, ev.RunCompleted) else None,
        note=end.note if isinstance(end, ev.RunCompleted) else None,
        waiting_for=state.waiting_for,
        approvals=[_approval(state, name) for name in state.approvals],
        cancel_requested=run.cancel_requested or state.cancel_requested is not None,
        usage=state.usage,
        budget=_budget(run),
        models=state.models,
        recoveries=state.recoveries,
        error=_error(state),
        resume=_resume(state),
        metadata=accepted.input.metadata if accepted else {},
        created_at=run.created_at,
        elapsed_s=_elapsed(run, state, now),
        last_event_id=str(cursor),
        links=links_of(run.run_id, ended=run.terminal or state.terminal),
    )


def _guardrail(verdict: ev.GuardrailVerdict | None) -> Guardrail | None:
    if verdict is None:
        return None
    return Guardrail(allowed=verdict.allowed, category=verdict.category, reason=verdict.reason)


def _plan(state: RunState) -> list[TodoView] | None:
    if state.plan is None:
        return None
    return [
        TodoView(**stage.todo.model_dump(), status=stage.status, failures=stage.failures)
        for stage in state.stages.values()
    ]


def _approval(state: RunState, name: str) -> ApprovalView:
    asked = state.approvals[name]
    requested, given = asked.requested, asked.given
    return ApprovalView(
        approval=name,
        kind=requested.kind,
        what=requested.what,
        stage=asked.stage,
        name=requested.name,
        arguments=requested.arguments,
        reason=requested.reason,
        options=list(requested.options),
        arguments_hash=requested.arguments_hash,
        expires_at=requested.expires_at,
        open=name in state.open_approvals() and not state.terminal,
        approved=given.approved if given else None,
        text=given.text if given else "",
    )


def _output(stage: StageState, completed: ev.StageCompleted) -> OutputView:
    return OutputView(
        stage=stage.todo.id,
        title=stage.todo.title,
        agent=stage.todo.agent,
        text=completed.output,
        partial=completed.partial,
        carried_from=completed.carried_from,
        citations=[
            CitationView(source_id=c.source_id, title=c.title, location=c.location, quote=c.quote)
            for c in stage.citations
        ],
    )


def _error(state: RunState) -> RunError | None:
    done = [output.stage for output in state.outputs()]
    match state.end:
        case ev.RunFailed() as end:
            return RunError(
                code=end.code, message=end.message, layer=end.layer, retryable=end.retryable, completed=done
            )
        case ev.RunExpired() as end:
            again = end.resume.possible
            return RunError(code="run_expired", message=end.message, layer="executor", retryable=again, completed=done)
        case _:
            return None


def _resume(state: RunState) -> Resume | None:
    match state.end:
        case ev.RunFailed(resume=hint) | ev.RunExpired(resume=hint):
            pass
        case ev.RunCancelled():
            hint = hint_of(state)
        case _:
            return None
    href = links_of(state.run_id, ended=True).resume if hint.possible else None
    return Resume(possible=hint.possible, how=hint.how, href=href, from_stage=next_stage(state) if href else None)


def _budget(run: Run) -> BudgetView:
    limit = None if run.budget is None else run.budget / MICRO
    return BudgetView(limit_usd=limit, reserved_usd=run.reserved / MICRO, spent_usd=run.spent / MICRO)


def _elapsed(run: Run, state: RunState, now: float) -> float:
    """Seconds from acceptance to the end, or to now; never below 0, since publishers' clocks may differ by a little."""
    return max(0.0, (state.last_at if state.terminal else now) - (state.accepted_at or run.created_at))
