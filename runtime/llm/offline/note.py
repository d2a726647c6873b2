"""How the offline engine introduces itself; apart, so that whoever only tells of it need not import it."""

from __future__ import annotations

from runtime.llm.client import ModelNote

NAME = "offline"
NOTE = ModelNote(
    name=NAME,
    is_language_model=False,
    words="Answered by the offline engine: quoted and condensed sentences from your documents, no language model.",
)
