"""All conversations of a stage, its agent's and its delegates', and what is to be said of them when their process is gone."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.events.calls import joined
from runtime.events.catalog import ToolOutcomeUnknown, TurnSuperseded
from runtime.events.transcript import Transcript


def conversations(transcript: Transcript, call: str | None = None) -> Iterator[tuple[str | None, Transcript]]:
    """``transcript`` and, by the path of their calls, the conversations of its delegates, the innermost first."""
    for key, child in transcript.children.items():
        yield from conversations(child, joined(call, key))
    yield call, transcript


def withdrawal(transcript: Transcript, reason: str) -> TurnSuperseded:
    """The open turn of a lost process, withdrawn. All it held back counts as spent: nobody can say how far it came."""
    return TurnSuperseded(
        reason=reason, released_cost_usd=transcript.reserved_usd, spent_cost_usd=transcript.reserved_usd
    )


def unknown_outcomes(transcript: Transcript) -> list[ToolOutcomeUnknown]:
    """What must be said of tool calls that may have had an effect when nobody is left who could learn of it."""
    known = "it had begun, and the step ended before its outcome was known"
    return [ToolOutcomeUnknown(call_id=use.id, name=use.name, known=known) for use in transcript.in_doubt()]
