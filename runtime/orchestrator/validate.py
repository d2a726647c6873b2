"""What the planning agents must answer, and the check of it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from runtime.errors import OutputInvalid
from runtime.events.plan import Plan

M = TypeVar("M", bound=BaseModel)


class TitleAnswer(BaseModel):
    """The titler's answer."""

    model_config = ConfigDict(extra="forbid")
    title: Annotated[str, Field(min_length=1, max_length=120)]

    @field_validator("title")
    @classmethod
    def _tidy(cls, title: str) -> str:
        tidy = " ".join(title.split()).strip("\"'`#* ").rstrip(".")
        if not tidy:
            raise ValueError("the title is empty")
        return tidy


class VerdictAnswer(BaseModel):
    """The guardrail's answer."""

    model_config = ConfigDict(extra="forbid")
    allowed: bool
    category: Annotated[str, Field(max_length=80)]
    reason: Annotated[str, Field(max_length=500)]


def plan_of(text: str, agents: Collection[str]) -> Plan:
    """The plan in an answer. Raises :class:`OutputInvalid` saying what is wrong, for the planner to mend."""
    plan = _parse(Plan, text)
    unknown = sorted({todo.agent for todo in plan.todos} - set(agents))
    if unknown:
        raise OutputInvalid(f"there is no agent {', '.join(unknown)}; the agents are {', '.join(sorted(agents))}")
    return plan


def title_of(text: str) -> str:
    """The title in an answer. Raises :class:`OutputInvalid`."""
    return _parse(TitleAnswer, text).title


def verdict_of(text: str) -> VerdictAnswer:
    """The verdict in an answer. Raises :class:`OutputInvalid`."""
    return _parse(VerdictAnswer, text)


PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["todos"],
    "properties": {
        "todos": {
            "type": "array",
            "description": "One to five todos.",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["id", "title", "agent", "depends_on"],
                "properties": {
                    "id": {"type": "string", "description": "Letters, digits, - and _."},
                    "title": {"type": "string"},
                    "agent": {"type": "string"},
                    "depends_on": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
        "prefer_sequential": {
            "type": "boolean",
            "description": "True to do one todo after another although they do not depend on each other. Usually left out.",
        },
    },
}
"""Written by hand: structured output takes a subset of JSON Schema, without patterns, lengths and references."""

TITLE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title"],
    "properties": {"title": {"type": "string"}},
}

VERDICT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["allowed", "category", "reason"],
    "properties": {"allowed": {"type": "boolean"}, "category": {"type": "string"}, "reason": {"type": "string"}},
}


def _parse(model: type[M], text: str) -> M:
    try:
        return model.model_validate_json(_unfenced(text))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg']}" for e in error.errors()[:5])
        raise OutputInvalid(problems) from error


def _unfenced(text: str) -> str:
    """JSON without the code fence some models put around it."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped.removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    return stripped
