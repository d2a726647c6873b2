"""``reduce(view, event) -> view``: a run as a client shows it, as a fold of its events. Pure; parts that an event does not
touch stay the same objects.

An event that was taken in already changes nothing, so a log may be read again from any earlier place. Types that this
version does not know only move the cursor. The same fold in TypeScript is web/src/headrace/fold.ts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runtime.client.events import RunEvent
from runtime.client.lanes import advance, closed
from runtime.client.view import (
    AgentLane,
    Asked,
    AttemptView,
    Delivery,
    Over,
    OwnerView,
    Placed,
    RunView,
    StageLane,
)
from runtime.events import catalog as ev
from runtime.events.codec import money_of
from runtime.events.envelope import Envelope
from runtime.events.fold import fold
from runtime.events.recovery_events import Recovery, recovery_kind


def reduce(view: RunView, event: RunEvent) -> RunView:
    """The view after one more event."""
    if event.seq <= view.last_seq:
        return view
    view = replace(
        view,
        run_id=event.run_id,
        epoch=max(view.epoch, event.epoch),
        last_seq=event.seq,
        last_event_id=event.id,
        last_at=event.at,
    )
    e = event.envelope
    if e is None:
        return replace(view, unknown=view.unknown + 1)
    view = _in_lane(_beside(replace(view, run=fold(view.run, e)), e), e)
    return _ended(view, e.at) if event.terminal else view


def _beside(view: RunView, e: Envelope) -> RunView:
    """What the state leaves out, apart from turns and tools."""
    event = e.event
    match event:
        case ev.RunStarted():
            owner = OwnerView(event.epoch, event.owner, event.code_version, e.at)
            started = e.at if view.started_at is None else view.started_at
            return replace(view, owners=(*view.owners, owner), started_at=started, waiting_until=None)
        case ev.RunWaiting():
            return replace(view, waiting_until=event.until)
        case ev.PlanCommitted():
            return _planned(view, e.at)
        case ev.PlanRevised():
            return replace(_planned(view, e.at), revisions=(*view.revisions, (e.at, event.reason)))
        case ev.AgentStarted():
            return _agent(view, e, started_at=e.at, ended_at=None)
        case ev.AgentCompleted():
            return _agent(view, e, ended_at=e.at)
        case ev.AgentFailed():
            return _agent(view, e, ended_at=e.at, code=event.code, fatal=event.fatal)
        case ev.ApprovalRequested():
            return replace(view, asked={**view.asked, event.approval: Asked(e.at, e.agent)})
        case ev.ApprovalGiven():
            return _answered(view, event, e.at)
        case ev.InputReceived():
            return replace(view, said_at=(*view.said_at, e.at))
        case ev.InputDelivered():
            return replace(view, delivered=(*view.delivered, Delivery(event.input, e.stage, e.at)))
        case ev.Custom():
            return replace(view, customs=(*view.customs, _placed(e)))
        case ev.Hidden():
            return replace(view, hidden=view.hidden + 1)
        case (
            ev.RecoveryRetrying()
            | ev.RecoveryFellBack()
            | ev.RecoveryCompacted()
            | ev.RecoveryResumed()
            | ev.RecoveryToolSwitchedOff()
        ):
            return _recovered(view, e, event)
        case ev.TurnStarted() | ev.TurnCompleted() | ev.TurnFailed() | ev.TurnSuperseded():
            return _paid(view, event)
        case _:
            return view


def _planned(view: RunView, at: float) -> RunView:
    """Lanes of stages that the plan no longer has are gone with them."""
    lanes = {stage: lane for stage, lane in view.stage_lanes.items() if stage in view.run.stages}
    return replace(view, planned_at=at if view.planned_at is None else view.planned_at, stage_lanes=lanes)


def _answered(view: RunView, given: ev.ApprovalGiven, at: float) -> RunView:
    """The first answer counts, and only to exactly what was asked: as the state has it."""
    asked, known = view.run.approvals.get(given.approval), view.asked.get(given.approval)
    if asked is None or asked.given is not given or known is None or known.answered_at is not None:
        return view
    return replace(view, asked={**view.asked, given.approval: replace(known, answered_at=at)})


def _placed(e: Envelope) -> Placed:
    return Placed(e.seq, e.at, e.event, e.stage, e.agent, e.turn, e.call)


def _recovered(view: RunView, e: Envelope, event: Recovery) -> RunView:
    view, kind = replace(view, recoveries=(*view.recoveries, _placed(e))), recovery_kind(event)
    if e.stage in view.run.stages:
        known = _stage_lane(view, e).recoveries
        return _stage(view, e, recoveries={**known, kind: known.get(kind, 0) + 1})
    if e.stage is None and e.agent in view.run.agents:
        known = _agent_lane(view, e).recoveries
        return _agent(view, e, recoveries={**known, kind: known.get(kind, 0) + 1})
    return view


def _paid(view: RunView, event: ev.Event) -> RunView:
    money = money_of(event)
    if money is None:
        return view
    reserved, spent = max(0, view.reserved_micro_usd + money.reserve), view.spent_micro_usd + money.spend
    return replace(view, reserved_micro_usd=reserved, spent_micro_usd=spent)


def _in_lane(view: RunView, e: Envelope) -> RunView:
    """Stages, turns and tools: what belongs to one lane."""
    if e.stage is not None:
        if e.stage not in view.run.stages:
            return view
        lane = _stage_lane(view, e)
        after = _stage_event(advance(lane, e), e)
        return view if after is lane else replace(view, stage_lanes={**view.stage_lanes, e.stage: after})
    if e.agent is None or e.agent not in view.run.agents:
        return view
    known = _agent_lane(view, e)
    over = isinstance(e.event, ev.AgentCompleted | ev.AgentFailed)
    agent = closed(known, e.at) if over else advance(known, e)
    return view if agent is known else replace(view, agent_lanes={**view.agent_lanes, e.agent: agent})


def _stage_event(lane: StageLane, e: Envelope) -> StageLane:
    event = e.event
    match event:
        case ev.StageDispatched():
            before = (replace(a, end="replaced", ended_at=e.at) if a.end is None else a for a in lane.attempts)
            return replace(lane, attempts=(*before, AttemptView(event.dispatch, e.at)), ended_at=None)
        case ev.StageStarted():
            started = e.at if lane.started_at is None else lane.started_at
            return replace(lane, started_at=started, ended_at=None, index=event.index, of=event.of)
        case ev.StageCompleted():
            return replace(_over(lane, "completed", e.at), index=event.index, of=event.of)
        case ev.StageFailed():
            return _over(lane, "failed", e.at)
        case ev.StageSkipped():
            return _over(lane, "skipped", e.at)
        case _:
            return lane


def _over(lane: StageLane, how: Over, at: float) -> StageLane:
    attempts = tuple(replace(a, end=how, ended_at=at) if a.end is None else a for a in lane.attempts)
    return replace(closed(lane, at), attempts=attempts, ended_at=at)


def _ended(view: RunView, at: float) -> RunView:
    """The run is over: what is still open in it will never end by itself, and what is held back counts as spent."""
    agents = {n: replace(closed(a, at), ended_at=at) if a.ended_at is None else a for n, a in view.agent_lanes.items()}
    stages = {
        name: _over(lane, "stopped", at) if lane.attempts and lane.ended_at is None else lane
        for name, lane in view.stage_lanes.items()
    }
    spent = view.spent_micro_usd + view.reserved_micro_usd
    view = replace(view, reserved_micro_usd=0, spent_micro_usd=spent)
    return replace(view, ended_at=at, agent_lanes=agents, stage_lanes=stages)


def _stage_lane(view: RunView, e: Envelope) -> StageLane:
    return view.stage_lanes.get(e.stage or "") or StageLane()


def _agent_lane(view: RunView, e: Envelope) -> AgentLane:
    return view.agent_lanes.get(e.agent or "") or AgentLane()


def _stage(view: RunView, e: Envelope, **changes: Any) -> RunView:
    """Any: fields of the lane, by name."""
    lane = replace(_stage_lane(view, e), **changes)
    return replace(view, stage_lanes={**view.stage_lanes, e.stage or "": lane})


def _agent(view: RunView, e: Envelope, **changes: Any) -> RunView:
    """Any: as above."""
    lane = replace(_agent_lane(view, e), **changes)
    return replace(view, agent_lanes={**view.agent_lanes, e.agent or "": lane})
