"""Who works: stages as steps, and agents as sub-agents, announced when their work begins or is first heard of.

An AG-UI run that follows an interrupt begins with nothing announced; so what goes on in it is announced anew, under the same ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ag_ui.core import events as ag

from runtime.events.envelope import Envelope
from runtime.events.fold import RunState
from runtime.generator.protocols.ag_ui.opened import Opened, Subagent

_PLANNING = "planning/"


class Work:
    """Steps and sub-agents of one run. Where ``versioned`` is False there are no sub-agents."""

    def __init__(self, opened: Opened, *, versioned: bool) -> None:
        self._opened = opened
        self._versioned = versioned
        self._names: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self.delegates: dict[str, str] = {}
        """Agents that tasks were given to, by key."""

    def forget_names(self) -> None:
        """A new AG-UI run: its steps may be called as those before."""
        self._names.clear()

    def of(self, envelope: Envelope) -> str | None:
        """The sub-agent an event belongs to; None: the run itself, or sub-agents are not told of."""
        one = self._opened.subagents.get(_key(envelope))
        return one.id if one is not None else None

    def begin_stage(self, envelope: Envelope, state: RunState, calls: dict[str, str]) -> Iterator[ag.BaseEvent]:
        """Announce the stage of an event, and the delegates it is inside of, as far as that was not done."""
        stage = envelope.stage
        assert stage is not None, "only work of a stage is announced like this"
        todo = state.stages[stage].todo if stage in state.stages else None
        if stage not in self._opened.steps:
            title = todo.title if todo is not None else stage
            self._names[title] += 1
            self._opened.steps[stage] = name = title if self._names[title] == 1 else f"{title} ({self._names[title]})"
            yield ag.StepStartedEvent(step_name=name)
        agent = todo.agent if todo is not None else envelope.agent or stage
        yield from self._begin(envelope.run_id, stage, agent, stage)
        outer = stage
        parts = envelope.call.split("/") if envelope.call else []
        for place in range(len(parts)):
            key = "/".join([stage, *parts[: place + 1]])
            name = self.delegates.get(key) or envelope.agent or key
            yield from self._begin(envelope.run_id, key, name, stage, outer=outer, call=calls.get(key))
            outer = key

    def begin_planning(self, envelope: Envelope) -> Iterator[ag.BaseEvent]:
        """Announce a planning agent."""
        agent = envelope.agent or ""
        yield from self._begin(envelope.run_id, _PLANNING + agent, agent, None)

    def end_planning(self, envelope: Envelope, failure: tuple[str, str] | None = None) -> Iterator[ag.BaseEvent]:
        """A planning agent is done; ``failure``: its message and code."""
        yield from self.end(_PLANNING + (envelope.agent or ""), failure)

    def end_stage(self, stage: str, failure: tuple[str, str] | None = None) -> Iterator[ag.BaseEvent]:
        """Close all that a stage has open."""
        yield from self._opened.close_within(stage)
        for one in self._opened.inner_first(stage):
            yield from self.end(one.key, failure if one.key == stage else None)
        yield from self._opened.close_step(stage)

    def end_delegate(self, envelope: Envelope, key: str, failure: tuple[str, str] | None) -> Iterator[ag.BaseEvent]:
        """A delegate has answered: close its work."""
        inner = [one for one in self._opened.inner_first(envelope.stage) if f"{one.key}/".startswith(f"{key}/")]
        if inner:
            yield from self._opened.close_within(envelope.stage, f"{envelope.run_id}/{key}/")
        for one in inner:
            yield from self.end(one.key, failure if one.key == key else None)

    def end(self, key: str, failure: tuple[str, str] | None = None) -> Iterator[ag.BaseEvent]:
        """Close one sub-agent, if it is open."""
        one = self._opened.subagents.pop(key, None)
        if one is None:
            return
        self._ended[key] += 1
        if failure is None:
            yield ag.SubagentFinishedEvent(subagent_run_id=one.id)
        else:
            yield ag.SubagentErrorEvent(subagent_run_id=one.id, message=failure[0], code=failure[1])

    def suspend(self, interrupts: dict[str, list[str]]) -> Iterator[ag.BaseEvent]:
        """Close everything for now; ``interrupts``: those that a sub-agent raised, by its key."""
        for stage in dict.fromkeys([*self._opened.steps, None]):
            yield from self._opened.close_within(stage)
        for one in self._opened.inner_first():
            del self._opened.subagents[one.key]
            outcome = ag.SubagentFinishedSuspendedOutcome(interrupt_ids=interrupts.get(one.key))
            yield ag.SubagentFinishedEvent(subagent_run_id=one.id, outcome=outcome)
        for stage in list(self._opened.steps):
            yield from self._opened.close_step(stage)

    def end_all(self) -> Iterator[ag.BaseEvent]:
        """Close everything for good."""
        for stage in list(self._opened.steps):
            yield from self.end_stage(stage)
        yield from self._opened.close_within(None)
        for one in self._opened.inner_first():
            yield from self.end(one.key)

    def _begin(
        self, run_id: str, key: str, name: str, stage: str | None, *, outer: str | None = None, call: str | None = None
    ) -> Iterator[ag.BaseEvent]:
        if not self._versioned or key in self._opened.subagents:
            return
        ended = self._ended[key]
        one = Subagent(key, f"{run_id}/{key}" + (f"#{ended + 1}" if ended else ""), stage)
        self._opened.subagents[key] = one
        parent = self._opened.subagents[outer].id if outer is not None else None
        yield ag.SubagentStartedEvent(
            subagent_run_id=one.id, name=name, parent_subagent_run_id=parent, parent_tool_call_id=call
        )


def _key(envelope: Envelope) -> str:
    return (
        f"{envelope.stage}/{envelope.call}" if envelope.call else envelope.stage or _PLANNING + (envelope.agent or "")
    )
