"""The questions of an evaluation, read from TOML and checked against the documents they are about."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

HERE = Path(__file__).parent
DOCUMENTS = HERE / "documents"
QUESTIONS = HERE / "questions.toml"


class Place(BaseModel):
    """Where an answer stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document: str
    section: str | None = None
    """A heading above the place."""
    page: int | None = None
    """Of a PDF."""
    near: str | None = None
    """Words that are read at the place; for documents without headings."""


class Question(BaseModel):
    """One question with its known answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    ask: str
    answers: tuple[tuple[str, ...], ...] = ()
    """Groups of accepted phrasings; one of each group must stand in the answer."""
    sources: tuple[Place, ...] = ()
    """Places the answer must cite, all of them."""
    unanswerable: bool = False
    """The documents do not say; the right answer says so."""
    research_stages: int = 1
    """Research stages side by side that a good plan has at least."""
    held_out: bool = False
    """Only its score is looked at, never what was answered, so that nothing is fitted to it."""

    @model_validator(mode="after")
    def _is_whole(self) -> Question:
        if self.unanswerable == bool(self.answers) or self.unanswerable == bool(self.sources):
            raise ValueError(f"{self.id}: either answers with sources, or unanswerable")
        return self


def questions(path: Path = QUESTIONS) -> tuple[Question, ...]:
    """All of them, in the file's order. Raises ``ValueError`` for one that is not whole, or an id given twice."""
    found = tuple(Question(**row) for row in tomllib.loads(path.read_text("utf-8"))["question"])
    ids = [one.id for one in found]
    if len(set(ids)) != len(ids):
        raise ValueError(f"an id is given twice: {sorted(one for one in set(ids) if ids.count(one) > 1)}")
    return found
