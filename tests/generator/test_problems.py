import json
import logging

import pytest
from starlette.exceptions import HTTPException

from runtime.errors import (
    Busy,
    Conflict,
    Fenced,
    HeadraceError,
    InvalidRequest,
    ModelUnauthorized,
    NotFound,
    OverQuota,
    StoreLocked,
    StoreUnavailable,
)
from runtime.generator.contract import FieldError, Problem
from runtime.generator.problems import Refusal, answer


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (InvalidRequest("The key was used before."), 422, "invalid_request", False),
        (NotFound("run 5"), 404, "not_found", False),
        (Conflict("The run is finished.", "run_finished"), 409, "run_finished", False),
        (Busy("Too much.", 7.2), 503, "busy", True),
        (OverQuota("Spent.", "budget_exhausted", 3600.4), 429, "budget_exhausted", True),
        (StoreUnavailable("disk"), 503, "store_unavailable", True),
        (StoreLocked("held by 17"), 500, "store_locked", False),
        (Fenced("x"), 500, "fenced", False),
        (ModelUnauthorized("sk-secret"), 500, "model_unauthorized", False),
        (ValueError("boom"), 500, "internal", False),
        (HTTPException(404), 404, "not_found", False),
        (HTTPException(405, headers={"Allow": "GET"}), 405, "method_not_allowed", False),
        (Refusal(413, "body_too_large", "Too large."), 413, "body_too_large", False),
    ],
)
def test_every_error_has_its_words(error: Exception, status: int, code: str, retryable: bool) -> None:
    response = answer(error, path="/v1/runs", request_id="r-1")
    body = Problem.model_validate_json(bytes(response.body))
    assert (response.status_code, body.status, body.code, body.retryable) == (status, status, code, retryable)
    assert response.headers["content-type"] == "application/problem+json"
    assert body.detail
    assert body.type == f"urn:headrace:problem:{code}"


def test_retry_after_is_whole_seconds_rounded_up() -> None:
    assert answer(Busy("", 7.2), path="/", request_id="r").headers["retry-after"] == "8"
    assert answer(OverQuota("", "budget_exhausted", 3600.4), path="/", request_id="r").headers["retry-after"] == "3601"
    assert answer(Busy("", 0.0), path="/", request_id="r").headers["retry-after"] == "1"
    assert answer(StoreUnavailable(), path="/", request_id="r").headers["retry-after"] == "2"


@pytest.mark.parametrize("error", [RuntimeError, StoreUnavailable, StoreLocked, Fenced, ModelUnauthorized])
def test_our_failures_are_logged_with_the_request_id_and_not_echoed(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    secret = "postgres://u:hunter2@db/SELECT * FROM runs"
    with caplog.at_level(logging.WARNING, "headrace"):
        try:
            raise error(secret)
        except (HeadraceError, RuntimeError) as raised:
            response = answer(raised, path="/v1/runs", request_id="r-77")
    assert b"hunter2" not in response.body
    assert b"SELECT" not in response.body
    assert "r-77" in caplog.text
    assert "hunter2" in caplog.text
    if response.status_code == 500:
        assert "Traceback" in caplog.text


def test_all_404s_are_one_body() -> None:
    answers = [
        answer(NotFound("run 1"), path="/v1/runs/1", request_id="a"),
        answer(NotFound("of another tenant"), path="/v1/runs/2", request_id="b"),
        answer(HTTPException(404), path="/nowhere", request_id="c"),
        answer(Refusal(404, "other", "other"), path="/x", request_id="d"),
    ]
    assert len({bytes(response.body) for response in answers}) == 1


def test_other_problems_name_path_and_request() -> None:
    refusal = Refusal(422, "validation_failed", "no", [FieldError(pointer="/input", detail="missing")])
    body = json.loads(bytes(answer(refusal, path="/v1/runs/ä\n", request_id="r-5").body))
    assert body["instance"] == "/v1/runs/%C3%A4%0A"
    assert body["request_id"] == "r-5"
    assert body["errors"] == [{"pointer": "/input", "detail": "missing"}]
    assert "head" not in body
