"""Nothing a planning agent says is stored before it fits; what does not is told to it in words it can act on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from runtime.errors import OutputInvalid
from runtime.events.plan import Plan
from runtime.orchestrator.validate import (
    PLAN_SCHEMA,
    TITLE_SCHEMA,
    VERDICT_SCHEMA,
    TitleAnswer,
    VerdictAnswer,
    plan_of,
    title_of,
    verdict_of,
)

AGENTS = ("research", "writing")


def plan(*todos: dict[str, Any]) -> str:
    return json.dumps({"todos": todos})


def todo(id_: str = "a", agent: str = "research", *depends_on: str) -> dict[str, Any]:
    return {"id": id_, "title": "Find it", "agent": agent, "depends_on": list(depends_on)}


def test_a_good_plan_is_taken() -> None:
    made = plan_of(plan(todo("a"), todo("b", "writing", "a")), AGENTS)
    assert [(t.id, t.agent, t.depends_on) for t in made.todos] == [("a", "research", ()), ("b", "writing", ("a",))]


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}\n```", "  {}\n", "```json{}```"])
def test_a_code_fence_around_an_answer_is_forgiven(fence: str) -> None:
    assert plan_of(fence.replace("{}", plan(todo())), AGENTS).todos[0].id == "a"
    assert title_of(fence.replace("{}", '{"title": "Sky"}')) == "Sky"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (plan(todo("a", "cook"), todo("b", "dancer")), "no agent cook, dancer; the agents are research, writing"),
        (plan(todo("a", "research", "z")), "do not exist: ['z']"),
        (plan(todo("a", "research", "b"), todo("b", "research", "a")), "circle"),
        (plan(todo(), todo()), "same id"),
        (plan(), "todos: "),
        (plan({"id": "a"}), "todos.0.title: Field required"),
        (plan({**todo(), "id": "a b"}), "todos.0.id: "),
        (plan({**todo(), "depends_on": "b"}), "todos.0.depends_on: "),
        (plan({**todo(), "priority": 1}), "todos.0.priority: "),
        ('{"todos": []', "answer: Invalid JSON"),
        ("Here is my plan: research it.", "answer: Invalid JSON"),
        ("", "answer: Invalid JSON"),
        ("null", "answer: "),
        ("[]", "answer: "),
    ],
)
def test_a_malformed_plan_is_refused_with_what_to_mend(text: str, words: str) -> None:
    with pytest.raises(OutputInvalid) as caught:
        plan_of(text, AGENTS)
    assert words in caught.value.message


def test_at_most_five_mistakes_are_told_at_once() -> None:
    with pytest.raises(OutputInvalid) as caught:
        plan_of(plan(*({"id": f"t{i}"} for i in range(20))), AGENTS)
    assert caught.value.message.count("Field required") == 5


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Why the sky is blue", "Why the sky is blue"),
        ('  "Blue\n skies."  ', "Blue skies"),
        ("# **Blue** skies", "**Blue** skies".strip("*")),
        ("`Ray` and Serve", "Ray` and Serve"),
    ],
)
def test_a_title_is_tidied(said: str, title: str) -> None:
    assert title_of(json.dumps({"title": said})) == title


@pytest.mark.parametrize("said", ["", " ", '""', "#", "...", "t" * 121, 5, None])
def test_a_title_without_words_or_too_long_is_refused(said: Any) -> None:
    with pytest.raises(OutputInvalid, match="title"):
        title_of(json.dumps({"title": said}))


def test_a_verdict_is_read() -> None:
    verdict = verdict_of('{"allowed": false, "category": "weapons", "reason": "Asks for one."}')
    assert (verdict.allowed, verdict.category, verdict.reason) == (False, "weapons", "Asks for one.")


@pytest.mark.parametrize(
    "text",
    [
        '{"category": "none", "reason": "x"}',
        '{"allowed": null, "category": "none", "reason": "x"}',
        '{"allowed": "perhaps", "category": "none", "reason": "x"}',
        '{"allowed": true, "category": "none", "reason": "x", "override": true}',
        "allowed",
        "true",
    ],
)
def test_a_verdict_that_does_not_say_allowed_plainly_is_no_verdict(text: str) -> None:
    with pytest.raises(OutputInvalid):
        verdict_of(text)


@pytest.mark.parametrize(
    ("schema", "model"), [(PLAN_SCHEMA, Plan), (TITLE_SCHEMA, TitleAnswer), (VERDICT_SCHEMA, VerdictAnswer)]
)
def test_the_schema_an_agent_is_given_asks_for_what_is_checked(schema: dict[str, Any], model: type[BaseModel]) -> None:
    def compare(given: dict[str, Any], checked: dict[str, Any], definitions: dict[str, Any]) -> None:
        checked = definitions[checked["$ref"].rpartition("/")[2]] if "$ref" in checked else checked
        assert given["type"] == checked["type"]
        if given["type"] == "object":
            assert set(given["required"]) <= set(given["properties"]) <= set(checked["properties"])
            assert set(checked["required"]) <= set(given["required"]), "what has no default is asked for"
            assert given["additionalProperties"] is False
            for name, one in given["properties"].items():
                compare(one, checked["properties"][name], definitions)
        elif given["type"] == "array":
            compare(given["items"], checked["items"], definitions)

    made = model.model_json_schema()
    compare(schema, made, made.get("$defs", {}))


def test_the_schemas_keep_to_what_structured_output_takes() -> None:
    taken = {"type", "properties", "required", "additionalProperties", "items", "description"}

    def keys(schema: dict[str, Any]) -> set[str]:
        inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
        return set(schema).union(*map(keys, inner))

    for schema in (PLAN_SCHEMA, TITLE_SCHEMA, VERDICT_SCHEMA):
        assert keys(schema) <= taken
