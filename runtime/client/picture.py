"""A view as plain JSON, the same that the page's fold gives: web/src/headrace/state.ts describes every field."""

from __future__ import annotations

from typing import Any

from runtime.client.lanes import CallView, Lane, ToolUseView, TurnView
from runtime.client.view import AgentLane, AttemptView, Placed, RunView, StageLane
from runtime.events import catalog as ev
from runtime.events.fold import AgentState, Approval, RunState, Said, StageState
from runtime.events.messages import Usage
from runtime.events.recovery_events import recovery_kind

Json = dict[str, Any]
"""A piece of the picture; ``Any``: it is JSON."""


def picture(view: RunView) -> Json:
    """All of it."""
    run = view.run
    return {
        "run_id": view.run_id,
        "state": run.status,
        **_accepted(run),
        "title": run.title,
        "guardrail": run.verdict and run.verdict.model_dump(include={"allowed", "category", "reason"}),
        "agents": [_agent(name, state, lane) for name, (state, lane) in view.planning.items()],
        "planned": _planned(view),
        "stages": [_stage(stage.state, stage.lane) for stage in view.stages.values()],
        "approvals": [_approval(view, name, asked) for name, asked in run.approvals.items()],
        "inputs": [_input(view, said, at) for said, at in zip(run.said, view.said_at, strict=True)],
        "customs": [_custom(placed) for placed in view.customs],
        "usage": _usage(run.usage),
        "budget": {
            "limit_usd": run.accepted.limits.budget_usd if run.accepted else None,
            "reserved_usd": view.reserved_usd,
            "spent_usd": view.spent_usd,
        },
        "tool_calls": run.tool_calls,
        "models": run.models,
        "recoveries": run.recoveries,
        "recovery_log": [_recovery(placed) for placed in view.recoveries],
        "owners": [
            {"epoch": o.epoch, "owner": o.owner, "code_version": o.code_version, "at": o.at} for o in view.owners
        ],
        "cancel_requested": run.cancel_requested is not None,
        "cancel_by": run.cancel_requested,
        "waiting_for": run.waiting_for,
        "waiting_until": view.waiting_until,
        **_end(run),
        "started_at": view.started_at,
        "ended_at": view.ended_at,
        "epoch": view.epoch,
        "last_seq": view.last_seq,
        "last_at": view.last_at,
        "last_event_id": view.last_event_id,
        "hidden": view.hidden,
        "unknown": view.unknown,
    }


def _accepted(run: RunState) -> Json:
    accepted = run.accepted
    asked = accepted.input if accepted else ev.RunInput(question="")
    limits = accepted.limits if accepted else None
    return {
        "question": asked.question,
        "documents": asked.documents,
        "attachments": [a.model_dump(mode="json") for a in asked.attachments],
        "metadata": asked.metadata,
        "limits": limits and {"deadline_s": limits.deadline_s, "tool_calls": limits.tool_calls},
        "conversation_id": accepted.conversation_id if accepted else None,
        "resumed_from": accepted.resumed_from if accepted else None,
        "approve_plan": accepted.approve_plan if accepted else False,
        "created_at": run.accepted_at,
    }


def _end(run: RunState) -> Json:
    picture: Json = dict.fromkeys(("answer", "stopped", "note", "error", "resume", "cancel_reason"))
    done = [output.stage for output in run.outputs()]
    match run.end:
        case ev.RunCompleted() as end:
            picture |= {"answer": end.answer, "stopped": end.stopped, "note": end.note}
        case ev.RunFailed() as end:
            error = end.model_dump(include={"code", "message", "layer", "retryable"})
            picture |= {"error": {**error, "completed": done}, "resume": end.resume.model_dump()}
        case ev.RunExpired() as end:
            again = end.resume.possible
            error = {"code": "run_expired", "message": end.message, "layer": "executor", "retryable": again}
            picture |= {"error": {**error, "completed": done}, "resume": end.resume.model_dump()}
        case ev.RunCancelled() as end:
            picture |= {"cancel_reason": end.reason}
        case None:
            pass
    return picture


def _planned(view: RunView) -> Json | None:
    plan = view.run.plan
    if plan is None:
        return None
    return {
        "at": view.planned_at,
        "max_parallel": plan.max_parallel,
        "prefer_sequential": plan.prefer_sequential,
        "revisions": [{"at": at, "reason": reason} for at, reason in view.revisions],
    }


def _lane(lane: Lane) -> Json:
    return {
        "turns": [_turn(turn) for turn in lane.turns],
        "calls": [_call(call) for call in lane.calls],
        "recoveries": lane.recoveries,
        "usage": _usage(lane.usage),
        "started_at": lane.started_at,
        "ended_at": lane.ended_at,
    }


def _agent(name: str, state: AgentState, lane: AgentLane) -> Json:
    own = {"name": name, "status": state.status, "model": state.model, "ms": state.ms, "message": state.message}
    return {**own, "code": lane.code, "fatal": lane.fatal, **_lane(lane)}


def _stage(state: StageState, lane: StageLane) -> Json:
    todo, completed, skipped, failed = state.todo, state.completed, state.skipped, state.failed
    last = completed or skipped
    return {
        "id": todo.id,
        "title": todo.title,
        "agent": todo.agent,
        "depends_on": list(todo.depends_on),
        "status": state.status,
        "dispatch": state.dispatch,
        "failures": state.failures,
        "index": lane.index,
        "of": lane.of,
        "context": state.context,
        "output": completed.output if completed else None,
        "summary": completed.summary if completed else None,
        "handed_on": completed.context if completed else None,
        "partial": completed.partial if completed else False,
        "carried_from": completed.carried_from if completed else None,
        "stop": last.stop if last else None,
        "skipped": skipped.reason if skipped else None,
        "error": failed and failed.model_dump(include={"code", "message", "attempts", "decision"}),
        "attempts": [_attempt(attempt) for attempt in lane.attempts],
        "citations": [c.model_dump(include={"source_id", "title", "location", "quote"}) for c in state.citations],
        **_lane(lane),
    }


def _attempt(attempt: AttemptView) -> Json:
    at = {"dispatched_at": attempt.dispatched_at, "ended_at": attempt.ended_at}
    return {"dispatch": attempt.dispatch, **at, "end": attempt.end}


def _turn(turn: TurnView) -> Json:
    error = turn.error
    return {
        **{name: getattr(turn, name) for name in _TURN},
        "tool_uses": [_use(use) for use in turn.tool_uses],
        "content": None if turn.content is None else [block.model_dump(mode="json") for block in turn.content],
        "usage": turn.usage and _usage(turn.usage),
        "error": error and {"code": error.code, "message": error.message, "attempts": error.attempts},
    }


_TURN = (
    *("turn", "attempt", "agent", "call", "purpose", "model", "status", "text", "thinking", "stop_reason", "truncated"),
    *("reserved_usd", "spent_usd", "reason", "started_at", "ended_at", "first_seq", "last_seq"),
)
_CALL = (
    *("call_id", "turn", "agent", "call", "path", "delegate", "name", "title", "icon", "description", "kind"),
    *("arguments", "status", "result", "ms", "times", "started_at", "ended_at"),
)


def _use(use: ToolUseView) -> Json:
    return {"call_id": use.call_id, "name": use.name, "text": use.text, "input": use.input}


def _call(call: CallView) -> Json:
    return {name: getattr(call, name) for name in _CALL}


def _approval(view: RunView, name: str, approval: Approval) -> Json:
    requested, given, times = approval.requested, approval.given, view.asked[name]
    what = {"kind", "what", "call_id", "name", "arguments", "reason", "arguments_hash", "expires_at"}
    return {
        "approval": name,
        **requested.model_dump(include=what),
        "options": list(requested.options),
        "stage": approval.stage,
        "agent": times.agent,
        "call": approval.call,
        "requested_at": times.requested_at,
        "open": name in view.run.open_approvals() and not view.over,
        "approved": given.approved if given else None,
        "text": given.text if given else "",
        "by": given.by if given else None,
        "answered_at": times.answered_at,
        "edited": given is not None and given.plan is not None,
    }


def _input(view: RunView, said: Said, at: float) -> Json:
    received = said.received
    told = [{"stage": d.stage, "at": d.at} for d in view.delivered if d.input == received.input]
    what = {"input": received.input, "kind": received.kind, "text": received.text, "by": received.by}
    return {**what, "stage": said.stage, "at": at, "delivered": told}


def _custom(placed: Placed) -> Json:
    assert isinstance(placed.data, ev.Custom)
    where = {"stage": placed.stage, "agent": placed.agent, "call": placed.call}
    return {"seq": placed.seq, "at": placed.at, **where, "name": placed.data.name, "value": placed.data.value}


def _recovery(placed: Placed) -> Json:
    event = placed.data
    kind = recovery_kind(event)  # type: ignore[arg-type]  # what the fold has put there
    where = {"stage": placed.stage, "agent": placed.agent, "turn": placed.turn, "call": placed.call}
    data = event.model_dump(mode="json", exclude={"type"})
    return {"seq": placed.seq, "at": placed.at, **where, "type": event.type, "kind": kind, "data": data}


def _usage(usage: Usage) -> Json:
    return {name: getattr(usage, name) for name in Usage.model_fields}
