"""From one run's state to its score: pure, but for opening the cited documents."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from runtime.events.catalog import RunCompleted
from runtime.events.fold import RunState
from runtime.events.plan import Plan
from tests.evaluation.opening import opened, opens_right
from tests.evaluation.questions import Question

_NOT_FOUND = re.compile(
    r"nothing was found|no sentence answers|not found in the|no documents to quote"
    r"|(?:do|does|did)(?: not|n't|n’t) (?:say|state|mention|contain|specify|include|give|name|provide|cover|record|address)"
    r"|(?:is|are|was|were)(?: not|n't|n’t) (?:stated|mentioned|specified|given|found|named|recorded|covered|documented)"
    r"|(?:could|can)(?: ?not|n't|n’t) (?:find|be found|answer|be answered|determine)|\bno (?:information|mention)\b"
    r"|contain no\b|found nothing|are silent",
    re.IGNORECASE,
)
_LIST = re.compile(r"^Sources:[ \t]*$.*", re.MULTILINE | re.DOTALL)


class Score(BaseModel):
    """What is measured of one question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    held_out: bool
    unanswerable: bool
    ended: str
    """The run's status; ``completed`` is the only good one."""
    right: bool
    """The known answer was given, or, where there is none, its absence was said."""
    answered: bool
    """The known answer stands in the text."""
    not_found: bool
    """The text says that the documents do not answer."""
    cited: bool
    """All places where the answer stands are cited; without a known answer: nothing is asked of citations."""
    citations: int
    astray: int
    """Citations that cannot be opened, or open where their quote does not stand."""
    planned: bool
    """The first plan was valid, and searches side by side what the question asks side by side."""
    stages: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    seconds: float


def score(question: Question, state: RunState, folder: Path) -> Score:
    """The score of an ended run over the documents in ``folder``."""
    answer = state.end.answer if isinstance(state.end, RunCompleted) else ""
    text = _LIST.sub("", answer)
    answered, not_found = _is_answered(question, text), bool(_NOT_FOUND.search(text))
    last = state.plan.todos[-1].id if state.plan else ""
    citations = state.stages[last].citations if last in state.stages else ()
    return Score(
        question=question.id,
        held_out=question.held_out,
        unanswerable=question.unanswerable,
        ended=state.status,
        right=bool(answer) and (not_found if question.unanswerable else answered),
        answered=answered,
        not_found=not_found,
        cited=_is_cited(question, [one.location for one in citations], folder),
        citations=len(citations),
        astray=sum(not opens_right(folder, one) for one in citations),
        planned=_is_planned(question, state),
        stages=sum(stage.completed is not None for stage in state.stages.values()),
        tool_calls=state.tool_calls,
        input_tokens=state.usage.input_tokens + state.usage.cache_read_tokens + state.usage.cache_write_tokens,
        output_tokens=state.usage.output_tokens,
        cost_usd=state.usage.cost_usd,
        seconds=round(state.last_at - state.accepted_at, 1),
    )


def _is_answered(question: Question, text: str) -> bool:
    said = _plain(text)
    return bool(question.answers) and all(
        any(re.search(rf"(?<!\w){re.escape(_plain(one))}(?!\w)", said) for one in group) for group in question.answers
    )


def _is_cited(question: Question, locations: list[str], folder: Path) -> bool:
    places = [place for place in (opened(folder, location) for location in locations) if place is not None]
    return all(any(place.is_at(wanted) for place in places) for wanted in question.sources)


def _is_planned(question: Question, state: RunState) -> bool:
    planner = state.agents.get("planner")
    if state.plan is None or planner is None or planner.transcript.turns_done != 1:
        return False
    return question.unanswerable or side_by_side(state.plan, "research") >= question.research_stages


def side_by_side(plan: Plan, agent: str) -> int:
    """How many of that agent's todos wait for the same others, so that they run at once."""
    waits = [todo.depends_on for todo in plan.todos if todo.agent == agent]
    return max(map(waits.count, waits), default=0)


def _plain(text: str) -> str:
    """Without markup and marks, spaces as one, in small letters."""
    bare = re.sub(
        r"\[\d+\]|[*_`]", "", text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
    )
    return " ".join(bare.split()).casefold()
