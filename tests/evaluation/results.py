"""What an evaluation of one model came to, kept as JSON beside the questions, one file a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tests.evaluation.questions import HERE
from tests.evaluation.score import Score

RESULTS = HERE / "results"


class Result(BaseModel):
    """All scores of one model, with where and when they were measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """As it is asked for: ``offline``, ``local``, ``anthropic``."""
    words: str
    """The model's name, for people."""
    machine: dict[str, Any]
    """``benchmarks.machine.describe``: whatever is said of a machine."""
    at_once: int
    elapsed_s: float
    scores: tuple[Score, ...]


class Totals(BaseModel):
    """Scores of several questions, added up."""

    model_config = ConfigDict(frozen=True)

    questions: int
    answerable: int
    completed: int
    right: int
    honest: int
    """Of those without an answer: it was said that there is none."""
    false_not_found: int
    """Of those with an answer: it was said that there is none."""
    cited: int
    citations: int
    astray: int
    planned: int
    stages: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    seconds: float


def totals(scores: Iterable[Score]) -> Totals:
    """The sums of ``scores``."""
    found = tuple(scores)
    known = [one for one in found if not one.unanswerable]
    return Totals(
        questions=len(found),
        answerable=len(known),
        completed=sum(one.ended == "completed" for one in found),
        right=sum(one.right for one in known),
        honest=sum(one.right for one in found if one.unanswerable),
        false_not_found=sum(one.not_found for one in known),
        cited=sum(one.cited for one in known),
        citations=sum(one.citations for one in found),
        astray=sum(one.astray for one in found),
        planned=sum(one.planned for one in found),
        stages=sum(one.stages for one in found),
        tool_calls=sum(one.tool_calls for one in found),
        input_tokens=sum(one.input_tokens for one in found),
        output_tokens=sum(one.output_tokens for one in found),
        cost_usd=sum(one.cost_usd for one in found),
        seconds=sum(one.seconds for one in found),
    )


def keep(result: Result, folder: Path = RESULTS) -> Path:
    """Write it over the model's last one; the file's path."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{result.model}.json"
    path.write_text(result.model_dump_json(indent=1) + "\n", "utf-8")
    return path


def kept(folder: Path = RESULTS) -> tuple[Result, ...]:
    """The last result of each model, by name."""
    return tuple(Result.model_validate_json(path.read_text("utf-8")) for path in sorted(folder.glob("*.json")))
