"""The decorator: what becomes of a function's signature, and which functions are refused."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from runtime.errors import ConfigurationError
from runtime.tools.tool import Tool, ToolContext, tool


class Colour(Enum):
    RED = "red"


class Address(BaseModel):
    street: str


@tool(title="Convert money", kind="idempotent", timeout_s=5)
async def convert(
    amount: Annotated[float, Field(gt=0, description="How much.")],
    to: Literal["EUR", "USD"] = "EUR",
    *,
    ctx: ToolContext,
) -> str:
    """Convert an amount of money."""
    return f"{amount} {to} {ctx.stage}"


@tool
def paint(colour: Colour, home: Address, tags: list[str] = []) -> str:  # noqa: B006 - a default the schema shows
    """Paint a house."""
    return f"{colour.value} {home.street} {tags}"


@tool
def odd_names(json: int, copy: str = "", model_config: str = "", _id: int = 0) -> str:
    """Parameters that pydantic would not take as fields."""
    return f"{json}{copy}{model_config}{_id}"


def test_schema_is_valid_and_hides_the_context() -> None:
    schema = convert.input_schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == ["amount", "to"]
    assert schema["required"] == ["amount"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["amount"]["description"] == "How much."
    assert convert.context_parameter == "ctx"
    jsonschema.validate({"amount": 3, "to": "USD"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"amount": 3, "ctx": {}}, schema)


def test_decorator_keeps_what_it_was_given() -> None:
    assert (convert.name, convert.title, convert.kind, convert.timeout_s) == (
        "convert",
        "Convert money",
        "idempotent",
        5,
    )
    assert (odd_names.title, odd_names.kind, odd_names.timeout_s) == ("Odd names", "read", 60.0)
    assert convert.description == "Convert an amount of money."


def test_nested_models_and_enums_have_schemas() -> None:
    jsonschema.Draft202012Validator.check_schema(paint.input_schema)
    jsonschema.validate({"colour": "red", "home": {"street": "x"}}, paint.input_schema)


def test_parameters_may_have_names_pydantic_refuses() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = tool(odd_names.function)
    assert list(again.input_schema["properties"]) == ["json", "copy", "model_config", "_id"]


def test_decorated_tool_is_still_the_function() -> None:
    assert paint(Colour.RED, Address(street="s")) == "red s []"


def test_docstring_is_the_description_without_its_indent() -> None:
    def spoken() -> str:
        """First.

        Second.
        """
        return ""

    assert tool(spoken).description == "First.\n\nSecond."


def no_docstring(a: int) -> str:
    return str(a)


def no_hint(a) -> str:  # type: ignore[no-untyped-def]
    """x"""
    return str(a)


def stars(*a: int) -> str:
    """x"""
    return str(a)


def double_stars(**a: int) -> str:
    """x"""
    return str(a)


def by_position(a: int, /) -> str:
    """x"""
    return str(a)


def two_contexts(a: ToolContext, b: ToolContext) -> str:
    """x"""
    return str((a, b))


@dataclass
class Opaque:
    value: object


class NoSchema:
    pass


def no_schema(a: NoSchema) -> str:
    """x"""
    return str(a)


def unknown_type(a: Missing) -> str:  # type: ignore[name-defined]  # noqa: F821
    """x"""
    return str(a)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_docstring, "docstring"),
        (no_hint, "type hint"),
        (stars, "no schema"),
        (double_stars, "no schema"),
        (by_position, "by name"),
        (two_contexts, "two parameters"),
        (no_schema, "JSON Schema"),
        (unknown_type, "Missing"),
        (lambda: "", "must fit"),
    ],
)
def test_function_without_a_usable_schema_is_refused_by_name(function: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        tool(function)  # type: ignore[call-overload]


def test_impossible_names_and_timeouts_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="must fit"):
        tool(name="no spaces")(paint.function)
    with pytest.raises(ConfigurationError, match="timeout_s"):
        tool(timeout_s=0)(paint.function)
    assert isinstance(tool(name="other-name")(paint.function), Tool)
