"""The snapshot of a run: read its log without deltas, fold it, put it into the words of the contract."""

from __future__ import annotations

from runtime.events import catalog as ev
from runtime.events.codec import UnknownEvent, decode
from runtime.events.fold import RunState, StageState, fold
from runtime.generator.contract import (
    AgentView,
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


async def read_state(door: Door, run_id: str) -> tuple[RunState, Cursor]:
    """The fold of the run's log, and the cursor of its last event that is no delta; unknown types are passed over."""
    state, cursor = RunState(), START
    while True:
        page = await door.page(run_id, after=cursor.seq, limit=PAGE, deltas=False)
        for stored in page:
            cursor = cursor_of(stored)
            try:
                state = fold(state, decode(stored))
            except UnknownEvent as error:  # written by a newer version; clients pass such events over, and so do we
                _log.warning("run %s: %s", run_id, error)
        if len(page) < PAGE:
            return state, cursor


def links_of(run_id: str) -> Links:
    """The paths of a run."""
    path = f"/v1/runs/{run_id}"
    return Links(self=path, events=f"{path}/events", cancel=f"{path}/cancel")


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
        cancel_requested=run.cancel_requested or state.cancel_requested is not None,
        usage=state.usage,
        models=state.models,
        recoveries=state.recoveries,
        error=_error(state),
        resume=_resume(state),
        metadata=accepted.input.metadata if accepted else {},
        created_at=run.created_at,
        elapsed_s=_elapsed(run, state, now),
        last_event_id=str(cursor),
        links=links_of(run.run_id),
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


def _output(stage: StageState, completed: ev.StageCompleted) -> OutputView:
    return OutputView(
        stage=stage.todo.id,
        title=stage.todo.title,
        agent=stage.todo.agent,
        text=completed.output,
        partial=completed.partial,
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
    if isinstance(state.end, ev.RunFailed | ev.RunExpired):
        return Resume(possible=state.end.resume.possible, how=state.end.resume.how)
    return None


def _elapsed(run: Run, state: RunState, now: float) -> float:
    """Seconds from acceptance to the end, or to now; never below 0, since publishers' clocks may differ by a little."""
    return max(0.0, (state.last_at if state.terminal else now) - (state.accepted_at or run.created_at))
