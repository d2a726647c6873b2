"""Whether a call that a model asks for may run: the one place where that is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.agents.record import StageRecord
from runtime.agents.request import StageRequest
from runtime.events import catalog as ev
from runtime.events.messages import ToolUseBlock
from runtime.tools.answers import problem_of
from runtime.tools.containment import needs_approval
from runtime.tools.people import ASK_PERSON
from runtime.tools.tool import Tool

DELEGATE = "delegate"
"""The tool that gives a task to another agent."""

CALLS_A_TURN = 16
FAN_OUT = 8
"""Delegations of one turn (SECURITY.md 2.1, LLM06)."""


@dataclass(frozen=True, slots=True)
class Proceed:
    """The call may run."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The call is answered with ``event`` and does not run."""

    event: ev.ToolCompleted | ev.ToolArgumentsInvalid


@dataclass(frozen=True, slots=True)
class AskPerson:
    """The call may run once a person has agreed to it; ``reason`` says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Question:
    """The call itself is a question to a person."""

    question: str
    options: tuple[str, ...]


Verdict = Proceed | Refuse | AskPerson | Question


class Gate:
    """The gate of one dispatch of one conversation."""

    def __init__(self, known: Mapping[str, Tool], request: StageRequest, record: StageRecord) -> None:
        self._known = known
        self._request = request
        self._record = record

    def judge(self, use: ToolUseBlock) -> Verdict:
        """What becomes of a call. Pure: what the conversation has met is a fold of its log."""
        tool, transcript = self._known.get(use.name), self._record.transcript
        if tool is None:
            return _refuse(use, f"There is no tool {use.name!r}; there are: {', '.join(self._known) or 'none'}.")
        if use.name in transcript.switched_off:
            words = f"Not run: {use.name} kept failing and is switched off for this step. Go on without it."
            return _refuse(use, words)
        if self._request.tools_off:
            return Proceed()  # to be answered as one that the limit does not allow
        if (surplus := self._surplus(use)) is not None:
            return _refuse(use, surplus)
        if (problem := problem_of(tool, use.input)) is not None:
            return Refuse(ev.ToolArgumentsInvalid(call_id=use.id, name=use.name, message=problem))
        if use.name == ASK_PERSON:
            return Question(use.input["question"], tuple(use.input.get("options", ())))
        reason = needs_approval(tool, transcript.met() | self._request.taint)
        return Proceed() if reason is None else AskPerson(reason)

    def _surplus(self, use: ToolUseBlock) -> str | None:
        """What is told of a call that is one too many of its turn."""
        uses = self._record.transcript.uses()
        if use.id not in _first(uses, CALLS_A_TURN):
            return f"Not run: only the first {CALLS_A_TURN} calls of a turn are. Call it again in your next turn."
        delegations = tuple(other for other in uses if other.name == DELEGATE)
        if use.name == DELEGATE and use.id not in _first(delegations, FAN_OUT):
            return f"Not run: at most {FAN_OUT} tasks are delegated in one turn. Delegate it in your next turn."
        return None


def _first(uses: tuple[ToolUseBlock, ...], count: int) -> list[str]:
    return list(dict.fromkeys(use.id for use in uses))[:count]


def _refuse(use: ToolUseBlock, words: str) -> Refuse:
    return Refuse(ev.ToolCompleted(call_id=use.id, name=use.name, result=words, is_error=True))
