"""A script for the scripted model, written in Python: what ``docs/scripts.md`` says of a file holds of it as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from runtime.bootstrap.models import StandIn
from runtime.clock import Clock, SystemClock
from runtime.events.plan import Plan, Todo
from runtime.llm.client import ModelClient
from runtime.llm.script import Fault, Script, ScriptedTurn, ToolCall
from runtime.llm.scripted import ScriptedClient


def says(agent: str, text: str, *, turn: int | None = None, when: str = "") -> ScriptedTurn:
    """A turn that answers with ``text``; only turn ``turn`` of its stage, only when the model is told ``when``, if given."""
    return ScriptedTurn(agent=agent, text=text, turn=turn, when=when)


def calls(agent: str, tool: str, *, turn: int | None = 1, text: str = "", **arguments: Any) -> ScriptedTurn:
    """A turn that calls ``tool`` with ``arguments``. Any: whatever JSON the tool takes."""
    return ScriptedTurn(agent=agent, turn=turn, text=text, tool_calls=(ToolCall(name=tool, input=arguments),))


def answers(agent: str, **output: Any) -> ScriptedTurn:
    """A turn whose answer is a JSON object, as planning agents give it. Any: whatever JSON the schema asks for."""
    return ScriptedTurn(agent=agent, output=output)


def plans(*todos: Todo) -> ScriptedTurn:
    """The planner's turn. Raises ``ValueError`` when the todos are no plan."""
    return answers("planner", todos=[todo.model_dump(mode="json") for todo in Plan(todos=todos).todos])


def fails(agent: str, error: str, *, times: int = 1, after: int = 0, then: str = "") -> ScriptedTurn:
    """A turn whose first ``times`` attempts fail with ``error``, such as ``ModelOverloaded``; the next one says ``then``.

    ``after``: tokens of ``then`` that are heard before it fails. ``times=0``: every attempt fails.
    """
    return ScriptedTurn(agent=agent, text=then, fault=Fault(error=error, times=times, after=after))


def scripted(*turns: ScriptedTurn, rate: float = 0.0, clock: Clock | None = None) -> StandIn:
    """A model that plays ``turns`` at ``rate`` tokens a second, 0 being as fast as possible.

    Titler and guardrail play along by themselves where no turn is theirs.
    """
    client = ScriptedClient(Script(rate=rate, turn=(*turns, *_unsaid(turns))), clock or SystemClock())

    def stand_in(real: Callable[[], ModelClient]) -> ModelClient:
        return client

    return stand_in


def _unsaid(turns: Sequence[ScriptedTurn]) -> list[ScriptedTurn]:
    usual = (
        answers("titler", title="{topic}"),
        answers("guardrail", allowed=True, category="none", reason="A scripted run; nothing was judged."),
    )
    said = {turn.agent for turn in turns}
    return [turn for turn in usual if turn.agent not in said]
