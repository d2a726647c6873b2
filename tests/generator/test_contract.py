import pytest

from runtime.generator.body import validate
from runtime.generator.problems import Refusal
from runtime.generator.requests import CreateRun


def test_defaults() -> None:
    body = validate(CreateRun, {"input": "Why?"})
    assert (body.documents, body.conversation_id, body.on_disconnect) == (None, None, None)
    assert (body.grace_s, body.deadline_s, body.metadata) == (30.0, 3600.0, {})


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "x" * 20_000},
        {"input": "../ %2e%2e \u202e 🏞"},
        {"documents": "/srv/docs"},
        {"conversation_id": "A-b_9" * 12},
        {"conversation_id": None},
        {"on_disconnect": "continue", "grace_s": 0},
        {"deadline_s": 1},
        {"deadline_s": 86_400.0},
        {"metadata": {str(n): "v" * 512 for n in range(16)}},
    ],
)
def test_what_is_accepted(fields: dict[str, object]) -> None:
    validate(CreateRun, {"input": "Why?", **fields})


@pytest.mark.parametrize("body", [None, [], "text", 5, {}, [{"input": "a"}]])
def test_bodies_of_another_shape_are_refused(body: object) -> None:
    with pytest.raises(Refusal) as caught:
        validate(CreateRun, body)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    "fields",
    [
        {"input": ""},
        {"input": " \n\t\u2003"},
        {"input": "x" * 20_001},
        {"input": 5},
        {"input": None},
        {"input": ["a"]},
        {"documents": ""},
        {"documents": "x" * 4097},
        {"conversation_id": ""},
        {"conversation_id": "../etc"},
        {"conversation_id": "a b"},
        {"conversation_id": "a\n"},
        {"conversation_id": "x" * 65},
        {"conversation_id": "é"},
        {"on_disconnect": "detach"},
        {"grace_s": -1},
        {"grace_s": 3601},
        {"grace_s": True},
        {"grace_s": "5"},
        {"grace_s": None},
        {"deadline_s": 0},
        {"deadline_s": 86_401},
        {"deadline_s": 1e300},
        {"metadata": {str(n): "v" for n in range(17)}},
        {"metadata": {"": "v"}},
        {"metadata": {"k" * 65: "v"}},
        {"metadata": {"k": "v" * 513}},
        {"metadata": {"k": 1}},
        {"metadata": []},
        {"tenant_id": "other"},
        {"owner": "me"},
        {"epoch": 3},
        {"status": "completed"},
        {"cost": 0},
        {"run_id": "11111111-1111-4111-8111-111111111111"},
        {"budget": 1},
    ],
)
def test_what_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(Refusal) as caught:
        validate(CreateRun, {"input": "Why?", **fields})
    assert caught.value.status == 422
    assert caught.value.errors
