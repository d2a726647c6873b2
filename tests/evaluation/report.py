"""``docs/evaluation.md`` from the kept results. Pure: the same results give the same page."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.machine import sentence
from tests.evaluation.models import MODELS
from tests.evaluation.questions import Question
from tests.evaluation.results import Result, Totals, totals
from tests.evaluation.score import Score

HEAD = """# Evaluation

How good the built-in agents' answers are, measured. The runner asks {questions} questions about the {documents} documents in
`tests/evaluation/documents/` through the whole system, in one process, reads the runs' logs, and scores them. This page is
written by it:

    make evaluate                  # every model that this machine can run
    make evaluate MODEL=offline    # one; the rows of the others stay
    make evaluate MODEL=anthropic  # with ANTHROPIC_API_KEY set; a question may spend half a dollar

{held_out} of the questions are held out: their answers are not looked at when something is improved, only their score.
{unanswerable} have no answer in the documents; right is then to say so. Questions with their answers stand in
`tests/evaluation/questions.toml`; phrasing is compared by text, no model judges another.

| column | what it means |
|---|---|
| right | the known answer stands in the text, in one of the accepted phrasings |
| cited | all places where the answer stands are cited: the location opens at that document and section, page or line |
| astray | citations that cannot be opened, or that open where their quote does not stand |
| honest | of the questions without an answer: the text says that there is none |
| denied | of the questions with an answer: the text says that there is none |
| planned | the first plan was valid, and put side by side what the question asks side by side |

"""

MANY = """## Two hundred documents

A folder of the size people have, with known facts in Markdown, text, HTML and PDF:

    python -m tests.evaluation.many /tmp/stations
    headrace ask "Compare the Arnholm station and the Jorfjell station in terms of pump and rent" --docs /tmp/stations

The index is built while the bar shows how far it is; two research stages search side by side, one for each station; each
citation opens at its section or page. `tests/evaluation/test_many.py` holds this.
"""

LOCAL = """The local model is SmolLM2 with 135 million parameters. It gives titles, chooses searches and quotes; plan, checks, analysis
and writing are the offline engine's, and the answers say so. Its rows show what such a small model costs, not what local
models can do: give a larger one with `HEADRACE_GGUF`.
"""

OFFLINE = """The offline engine is no language model. Its tokens are words, and its pace is that of a reader, 45 words a second, which is
most of its time.
"""


def page(results: Sequence[Result], questions: Sequence[Question], documents: int) -> str:
    """The whole page."""
    head = HEAD.format(
        questions=len(questions),
        documents=documents,
        held_out=sum(one.held_out for one in questions),
        unanswerable=sum(one.unanswerable for one in questions),
    )
    results = sorted(results, key=lambda result: MODELS.index(result.model))
    notes = [text for name, text in (("offline", OFFLINE), ("local", LOCAL)) if any(r.model == name for r in results)]
    parts = [head + _summary(results), *_unmeasured(results), *notes, MANY, *(_details(result) for result in results)]
    return "\n".join(parts)


def _summary(results: Sequence[Result]) -> str:
    rows = [
        "## Summary\n",
        "| model | questions | right | cited | astray | honest | denied | planned | seconds each | tokens in / out each | US$ |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for name, held in (("open", False), ("held out", True)):
            sums = totals(score for score in result.scores if score.held_out == held)
            rows.append(f"| {result.words} | {sums.questions} {name} | {_cells(sums)} |")
    return "\n".join(rows) + "\n"


def _unmeasured(results: Sequence[Result]) -> list[str]:
    rest = [model for model in MODELS if model not in {result.model for result in results}]
    return [f"Not measured yet: {', '.join(rest)}.\n"] if rest else []


def _cells(sums: Totals) -> str:
    each = max(1, sums.questions)
    cells = [
        f"{sums.right} of {sums.answerable}",
        f"{sums.cited} of {sums.answerable}",
        f"{sums.astray} of {sums.citations}",
        f"{sums.honest} of {sums.questions - sums.answerable}",
        f"{sums.false_not_found}",
        f"{sums.planned} of {sums.questions}",
        f"{sums.seconds / each:.1f}",
        f"{sums.input_tokens // each:,} / {sums.output_tokens // each:,}",
        f"{sums.cost_usd:.4f}" if sums.cost_usd else "0",
    ]
    return " | ".join(cells)


def _details(result: Result) -> str:
    rows = [
        f"## {result.words}\n",
        f"{len(result.scores)} questions, {result.at_once} at once, in {result.elapsed_s:.0f} s. {sentence(result.machine)}\n",
        "<details><summary>Each question</summary>\n",
        "| question | right | cited | astray | planned | stages | tool calls | tokens in / out | US$ | seconds | ended |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *map(_row, result.scores),
        "\n</details>\n",
    ]
    return "\n".join(rows)


def _row(score: Score) -> str:
    marks = [
        f"{score.question}{' (held out)' if score.held_out else ''}{' (no answer)' if score.unanswerable else ''}",
        _mark(score.right) + (" denied" if score.not_found and not score.unanswerable else ""),
        "" if score.unanswerable else _mark(score.cited),
        f"{score.astray} of {score.citations}",
        _mark(score.planned),
        f"{score.stages}",
        f"{score.tool_calls}",
        f"{score.input_tokens:,} / {score.output_tokens:,}",
        f"{score.cost_usd:.4f}" if score.cost_usd else "0",
        f"{score.seconds:.1f}",
        score.ended,
    ]
    return f"| {' | '.join(marks)} |"


def _mark(good: bool) -> str:
    return "yes" if good else "**no**"
