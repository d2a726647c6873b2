"""What a stage's end is: what the hooks are told of it, and the event it comes to. Pure."""

from __future__ import annotations

from typing import Literal

from runtime.agents.request import StageResult
from runtime.events import catalog as ev
from runtime.events.fold import RunState, StageState
from runtime.events.tool_events import Taint
from runtime.pipeline.builder import Stage
from runtime.pipeline.hooks import Answer, Branch, Continue, Decision, Failure, Finished, Joined, Retry, Stop

SUMMARY_CHARACTERS = 200


def finished(stage: Stage, state: RunState, result: StageResult | None, failure: Failure | None) -> Finished:
    """What the post-hooks are told of ``stage``, which has just ended."""
    assert state.plan is not None  # stages exist only in planned runs
    assert state.accepted is not None  # the first event of every run
    known = state.stages[stage.todo.id]
    return Finished(
        question=state.accepted.input.question,
        plan=state.plan,
        todo=stage.todo,
        index=stage.index,
        completed=frozenset(todo for todo, s in state.stages.items() if s.completed is not None),
        tries=known.failures + 1,
        output=result.text if result else "",
        citations=known.citations,
        failure=failure,
        answers=hook_answers(state, stage.todo.id),
    )


def hook_answers(state: RunState, stage: str) -> tuple[Answer, ...]:
    """What people answered to what hooks asked about that stage; its agent's own questions belong to calls."""
    return tuple(
        Answer(asked.requested.what, asked.given.text, asked.given.approved)
        for asked in state.approvals.values()
        if asked.stage == stage and asked.requested.call_id is None and asked.given is not None
    )


def answered_result(state: RunState, stage: str) -> StageResult | None:
    """The result of a stage whose agent was done when a hook asked a person, who has answered; None for any other."""
    transcript = state.stages[stage].transcript
    if not transcript.finished() or not hook_answers(state, stage):
        return None
    partial = transcript.stop_reason == "max_tokens"
    return StageResult(transcript.text(), transcript.tool_calls, transcript.usage, partial)


def joined(stage: Stage, state: RunState) -> Joined:
    """What the join hooks are told of ``stage``, which is about to begin."""
    assert state.plan is not None  # stages exist only in planned runs
    assert state.accepted is not None  # the first event of every run
    branches = tuple(_branch(state.stages[dep]) for dep in stage.todo.depends_on)
    return Joined(state.accepted.input.question, state.plan, stage.todo, branches)


def _branch(stage: StageState) -> Branch:
    done, failed = stage.completed, stage.failed if stage.status == "failed" else None
    return Branch(
        todo=stage.todo,
        output=done.output if done else "",
        context=done.context if done else "",
        citations=stage.citations,
        failure=Failure(failed.code, failed.message, failed.attempts) if failed else None,
        skipped=stage.skipped.reason if stage.skipped else None,
    )


def outcome(
    stage: Stage, done: Finished, decision: Decision, result: StageResult | None, taint: Taint
) -> ev.StageCompleted | ev.StageFailed:
    """The event that ends the stage."""
    todo = stage.todo
    if done.failure is not None or result is None or (isinstance(decision, Stop) and not done.output.strip()):
        failure = done.failure or Failure("output_invalid", "the answer was empty")
        return ev.StageFailed(
            todo=todo.id,
            title=todo.title,
            code=failure.code,
            message=failure.message,
            attempts=done.tries,
            decision=_word(decision),
        )
    return ev.StageCompleted(
        index=stage.index,
        of=stage.of,
        title=todo.title,
        todo=todo.id,
        output=result.text,
        summary=_summary(result.text),
        context=decision.context if isinstance(decision, Continue) else result.text,
        tool_calls=result.tool_calls,
        partial=result.partial,
        stop=decision.reason if isinstance(decision, Stop) else None,
        taint=tuple(sorted(taint)),
    )


def _word(decision: Decision) -> Literal["continue", "retry", "stop"]:
    match decision:
        case Retry():
            return "retry"
        case Stop():
            return "stop"
        case _:
            return "continue"


def _summary(text: str) -> str:
    """The first line with words in it, for lists."""
    line = next((line.strip("#*- \t") for line in text.splitlines() if line.strip("#*- \t")), "")
    return line if len(line) <= SUMMARY_CHARACTERS else line[: SUMMARY_CHARACTERS - 1] + "…"
