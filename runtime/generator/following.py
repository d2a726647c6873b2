"""What a new run of a conversation goes on from: what was said before, the title, the documents.

Each run has pinned what was said before it, so the newest run tells the whole: what it took along, and its own exchange.
A run that was resumed from an earlier one took along what that one did; so one goes back to the last that was not, and a run
that another goes on from is left out in favour of that one. A run that failed or was cancelled counts with what it had;
one that the guardrail refused does not count: what was refused must not come back as background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from runtime.events import catalog as ev
from runtime.events.attachments import Attachment, called
from runtime.events.fold import RunState
from runtime.events.history import NOTHING_SAID, Cited, Enclosed, Exchange, History, compact
from runtime.generator.door import Door
from runtime.generator.snapshot import read_state

MOST_RESUMED: Final = 16
"""Resumed runs in a row that are looked through."""


@dataclass(frozen=True, slots=True)
class Before:
    """What the conversation has before a new run."""

    follows: str | None = None
    """Its newest run that has ended; empty when there is none, None when nobody looked."""
    title: str | None = None
    history: History = NOTHING_SAID
    documents: str | None = None
    """The folder its newest run searched: a follow-up is about the same documents unless it names others."""


FIRST: Final = Before()
"""Before the first run of a conversation that nobody else can know of."""


async def look_back(door: Door, tenant_id: str, conversation_id: str) -> Before:
    """What a run created now would go on from.

    A run that is unfinished is passed over: if it still is when the new one is created, that one is refused, and if it has
    ended, it is no longer the one that ``follows`` names.
    """
    found = await door.conversation(tenant_id, conversation_id)
    if found is None:
        return Before(follows="")
    runs = await door.runs_of(tenant_id, conversation_id, limit=MOST_RESUMED + 1)
    ended: list[RunState] = []
    for run in (run for run in runs if run.terminal):
        ended.append((await read_state(door, run.run_id))[0])
        if not _resumed_from(ended[-1]):
            break
    if not ended:
        return Before(follows="", title=found.title)
    accepted = ended[0].accepted
    documents = accepted.input.documents if accepted else None
    return Before(ended[0].run_id, found.title, said(ended), documents)


def said(newest_first: Sequence[RunState]) -> History:
    """What was said up to the first of those runs, all but the last of which were resumed from another."""
    oldest = newest_first[-1].accepted
    before = oldest.history if oldest else NOTHING_SAID
    own = [exchange for state in reversed(newest_first) if (exchange := exchange_of(state)) is not None]
    replaced = {_resumed_from(state) for state in newest_first}
    return compact([one for one in (*before.exchanges, *own) if one.run_id not in replaced], before.left_out)


def exchange_of(ended: RunState) -> Exchange | None:
    """What was asked and answered in a run; None when the guardrail refused it."""
    if ended.accepted is None or (ended.verdict is not None and not ended.verdict.allowed):
        return None
    return Exchange(
        run_id=ended.run_id,
        question=ended.accepted.input.question,
        answer=_answer(ended),
        state=ended.status,
        sources=_sources(ended),
        attachments=_enclosed(ended.accepted.input.attachments),
        at=ended.accepted_at,
    )


def _answer(ended: RunState) -> str:
    """The answer, or without one what the last completed step had."""
    if isinstance(ended.end, ev.RunCompleted):
        return ended.end.answer
    outputs = ended.outputs()
    return outputs[-1].text if outputs else ""


def _sources(ended: RunState) -> tuple[Cited, ...]:
    """What its stages cited, the last stage's first: it wrote the answer."""
    cited = [citation for stage in reversed(ended.stages.values()) for citation in stage.citations]
    return tuple({c.location: Cited(title=c.title, location=c.location) for c in reversed(cited)}.values())[::-1]


def _enclosed(attachments: Sequence[Attachment]) -> tuple[Enclosed, ...]:
    """Their names; a run that follows is told of them, and is not shown them again."""
    names = zip(attachments, called(attachments), strict=True)
    return tuple(Enclosed(name=name, kind=one.media_type or one.type) for one, name in names)


def _resumed_from(state: RunState) -> str | None:
    return state.accepted.resumed_from if state.accepted else None
