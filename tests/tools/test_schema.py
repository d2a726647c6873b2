"""Arguments are held against another's JSON Schema without doing what the schema would like us to."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runtime.tools.schema import mistakes

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}, "where": {"$ref": "#/$defs/place"}},
    "required": ["n"],
    "additionalProperties": False,
    "$defs": {"place": {"enum": ["here", "there"]}},
}


def test_what_fits_has_no_mistakes() -> None:
    assert mistakes(SCHEMA, {"n": 1, "where": "here"}, 5) == []


def test_each_mistake_is_a_line_and_there_are_only_so_many() -> None:
    found = mistakes(SCHEMA, {"n": 0, "where": "nowhere", "x": 1}, 5)
    assert len(found) == 3
    assert any(line.startswith("- where: ") for line in found)
    assert len(mistakes(SCHEMA, {"n": 0, "where": "nowhere", "x": 1}, 2)) == 2


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"type": "no such type"},
        {"properties": 5},
        {"$ref": "#/nowhere"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
)
def test_schema_that_is_wrong_or_leads_elsewhere_leaves_the_judgement_to_the_server(schema: dict[str, Any]) -> None:
    assert mistakes(schema, {"a": 1}, 5) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
        {"patternProperties": {"^(a+)+$": {"type": "integer"}}, "additionalProperties": False},
        {"patternProperties": {"^(a+)+$": {"type": "integer"}}, "unevaluatedProperties": False},
        {"properties": {"a": {"format": "regex"}}},
    ],
)
def test_no_regular_expression_of_a_schema_is_run(schema: dict[str, Any]) -> None:
    evil = "a" * 40 + "!"
    begun = time.process_time()
    assert mistakes(schema, {"a": evil, evil: evil}, 5) == []
    assert time.process_time() - begun < 1.0
