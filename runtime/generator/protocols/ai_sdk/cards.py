"""What is no word and no call, as data parts with stable ids: a part with the same id takes the place of the one before."""

from __future__ import annotations

from runtime.events import catalog as ev
from runtime.events.envelope import Envelope
from runtime.events.fold import StageStatus
from runtime.events.plan import Plan
from runtime.events.recovery_events import Recovery, recovery_kind
from runtime.generator.protocols.ai_sdk.chunks import data, named
from runtime.generator.protocols.ai_sdk.writer import Writer

OWN = frozenset({"run", "plan", "stage", "agent", "guardrail", "approval", "input"})
"""Names of our data parts; a tool's own of such a name becomes ``data-custom-<name>``."""


class Cards:
    """The plan with its statuses, and one card for each agent, stage and question."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._plan: Plan | None = None
        self._statuses: dict[str, StageStatus] = {}
        self._agents: dict[str, dict[str, object]] = {}
        self._stages: dict[str, dict[str, object]] = {}
        self._asked: dict[str, dict[str, object]] = {}

    def run(self, state: str, **more: object) -> None:
        """How the run goes; no part of the message."""
        self._writer.put(data("run", {"state": state, **named(**more)}, transient=True))

    def note(self, envelope: Envelope, event: Recovery | ev.TurnSuperseded) -> None:
        """Something was tried again, or withdrawn; no part of the message."""
        kind = "withdrawn" if isinstance(event, ev.TurnSuperseded) else recovery_kind(event)
        note = {"note": kind, **event.model_dump(exclude={"type", "released_cost_usd", "spent_cost_usd"}, mode="json")}
        place = named(stage=envelope.stage, agent=envelope.agent, turn=envelope.turn, call=envelope.call)
        self._writer.put(data("run", {"state": "running", **note, **place}, transient=True))

    def plan(self, plan: Plan) -> None:
        """The plan, or the one in its place."""
        self._plan = plan
        self._statuses = {todo.id: self._statuses.get(todo.id, "pending") for todo in plan.todos}
        self._put_plan()

    def stage(self, name: str, status: StageStatus, **about: object) -> None:
        """What became of a stage."""
        card = self._stages[name] = {**self._stages.get(name, {"stage": name}), "status": status, **named(**about)}
        self._writer.put(data("stage", dict(card), name))
        if self._statuses.get(name) not in (None, status):
            self._statuses[name] = status
            self._put_plan()

    def agent(self, name: str, state: str, **about: object) -> None:
        """A planning agent."""
        card = self._agents[name] = {**self._agents.get(name, {"name": name}), "state": state, **named(**about)}
        self._writer.put(data("agent", dict(card), name))

    def guardrail(self, event: ev.GuardrailVerdict) -> None:
        """Whether the request may be worked on."""
        self._writer.put(data("guardrail", event.model_dump(exclude={"type"}), "guardrail"))

    def asked(self, event: ev.ApprovalRequested, stage: str | None) -> None:
        """People are asked something that no tool call stands for: the plan, or a hook's question."""
        card = self._asked[event.approval] = named(
            approval=event.approval,
            kind=event.kind,
            what=event.what,
            reason=event.reason or None,
            options=list(event.options) or None,
            name=event.name,
            arguments=event.arguments,
            argumentsHash=event.arguments_hash,
            expiresAt=event.expires_at,
            stage=stage,
            open=True,
        )
        self._writer.put(data("approval", dict(card), event.approval))

    def given(self, event: ev.ApprovalGiven) -> None:
        """The answer."""
        if (card := self._asked.get(event.approval)) is None or not card["open"]:
            return
        card |= named(open=False, approved=event.approved, text=event.text or None)
        self._writer.put(data("approval", dict(card), event.approval))

    def said(self, event: ev.InputReceived, stage: str | None) -> None:
        """A person said something unasked."""
        said = named(kind=event.kind, text=event.text, by=event.by, stage=stage)
        self._writer.put(data("input", said, event.input or None))

    def custom(self, event: ev.Custom) -> None:
        """What a tool or a hook says in its own words."""
        self._writer.put(data(f"custom-{event.name}" if event.name in OWN else event.name, event.value))

    def _put_plan(self) -> None:
        if self._plan is None:
            return
        todos = [
            {
                "id": t.id,
                "title": t.title,
                "agent": t.agent,
                "dependsOn": list(t.depends_on),
                "status": self._statuses[t.id],
            }
            for t in self._plan.todos
        ]
        self._writer.put(data("plan", {"todos": todos}, "plan"))
