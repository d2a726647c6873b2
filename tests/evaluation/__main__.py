"""``python -m tests.evaluation [MODEL ...]``: ask, score, keep the result, and write ``docs/evaluation.md``."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.machine import describe
from tests.evaluation.models import MODELS, Candidate, candidate, missing
from tests.evaluation.questions import DOCUMENTS, HERE, Question, questions
from tests.evaluation.report import page
from tests.evaluation.results import Result, keep, kept, totals
from tests.evaluation.runner import Asked, evaluate

PAGE = HERE.parents[1] / "docs" / "evaluation.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate; 0 when every model asked for could be run, whatever its scores are."""
    options = _options(arguments)
    console = Console(highlight=False)
    asked = questions()
    left_out = 0
    for model in options.models or MODELS:
        reason = missing(model)
        if reason is not None:
            console.print(f"{model}: left out, {escape(reason)}")
            left_out += model in options.models
            continue
        keep(_evaluated(model, asked, console, show_answers=options.answers))
    PAGE.write_text(page(kept(), asked, sum(path.is_file() for path in DOCUMENTS.rglob("*"))), "utf-8")
    console.print(f"written: {PAGE}")
    return 1 if left_out else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation", description=__doc__)
    parser.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)}; all that can run when left out")
    parser.add_argument("--answers", action="store_true", help="show what was answered, but to held-out questions")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.models) - set(MODELS))
    if unknown:
        parser.error(f"there is no model {', '.join(unknown)}; choose of {', '.join(MODELS)}")
    return options


def _evaluated(model: str, asked: Sequence[Question], console: Console, *, show_answers: bool) -> Result:
    with tempfile.TemporaryDirectory(prefix="headrace-evaluation-") as folder:
        chosen = candidate(model, Path(folder))
        machine, began = describe(), time.monotonic()
        found = asyncio.run(_watched(chosen, asked, console, show_answers=show_answers))
        elapsed = round(time.monotonic() - began, 1)
    result = Result(
        model=model,
        words=chosen.words,
        machine=machine,
        at_once=chosen.at_once,
        elapsed_s=elapsed,
        scores=tuple(one.score for one in found),
    )
    sums = totals(result.scores)
    right, of = sums.right + sums.honest, sums.questions
    console.print(f"{chosen.words}: right {right} of {of}, cited {sums.cited} of {sums.answerable}, in {elapsed:.0f} s")
    return result


async def _watched(
    chosen: Candidate, asked: Sequence[Question], console: Console, *, show_answers: bool
) -> list[Asked]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console)
    task = bar.add_task(chosen.words, total=len(asked))

    def told(one: Asked) -> None:
        bar.advance(task)
        score = one.score
        mark = "right" if score.right else "WRONG"
        console.print(
            f"  {mark}  {one.question.id}  {score.seconds:.1f} s, tool calls: {score.tool_calls}, {score.ended}"
        )
        if show_answers and not one.question.held_out:
            console.print(escape(f"{one.question.ask}\n{getattr(one.state.end, 'answer', '')}\n"))

    with bar if console.is_terminal else nullcontext():
        return await evaluate(
            chosen.settings, asked, DOCUMENTS, at_once=chosen.at_once, told=told, budget_usd=chosen.budget_usd
        )


if __name__ == "__main__":
    raise SystemExit(main())
