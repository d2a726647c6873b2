"""``headrace conversations`` and asking on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from runtime.cli.app import app
from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from tests.client.raw_server import RUN_ID, RawServer, stored

Serve = Callable[[RawServer], RawServer]
runner = CliRunner()

LOG = stored(
    [
        Draft(ev.RunAccepted(input=ev.RunInput(question="Why?"), conversation_id="c1", title="About leases")),
        Draft(ev.RunCompleted(answer="So.")),
    ]
)
SUMMARY: dict[str, Any] = {
    "conversation_id": "c1",
    "title": "About leases",
    "question": "What is a lease?",
    "created_at": 1.7e9,
    "updated_at": 1.7e9,
    "run_count": 2,
    "cost_usd": 0.0123,
    "reserved_usd": 0.0,
    "links": {"self": "/v1/conversations/c1"},
}
RUNS = [
    {"run_id": "r1", "state": "completed", "question": "What is a lease?", "answer": "A right \x1b[2J to a run."},
    {"run_id": "r2", "state": "failed", "question": "Why?", "answer": None},
]
ANSWERS: dict[str, object] = {
    "GET /v1/conversations?limit=20": {"conversations": [SUMMARY], "next_before": None},
    "GET /v1/conversations?limit=1": {"conversations": [SUMMARY], "next_before": "7"},
    "GET /v1/conversations/c1?limit=50": {**SUMMARY, "runs": RUNS, "next_before": None},
    "DELETE /v1/conversations/c1": None,
}


@pytest.fixture
def server(serve_raw: Serve) -> RawServer:
    return serve_raw(RawServer(LOG, answers=dict(ANSWERS)))


def call(server: RawServer, *arguments: str) -> Any:
    return runner.invoke(app, [*arguments, "--url", server.url])


def test_asking_tells_how_to_ask_on(server: RawServer) -> None:
    result = call(server, "ask", "Why?")
    assert result.exit_code == 0
    assert f'ask on: headrace ask --conversation c1 --url {server.url} "\u2026"' in result.stderr.splitlines()


def test_a_follow_up_is_shown_under_its_conversations_title(server: RawServer) -> None:
    assert "conversation: About leases" in call(server, "ask", "Why?", "--plain").stdout


def test_asking_on_names_the_conversation(server: RawServer) -> None:
    assert call(server, "ask", "Why?", "--conversation", "c9").exit_code == 0
    assert server.posts == [{"input": "Why?", "conversation_id": "c9"}]


def test_continue_asks_on_in_the_newest_conversation(server: RawServer) -> None:
    assert call(server, "ask", "Why?", "--continue").exit_code == 0
    assert call(server, "ask", "--continue", "Why?", "--detach").exit_code == 0
    assert server.posts == [{"input": "Why?", "conversation_id": "c1"}] * 2


def test_there_is_nothing_to_continue_before_the_first_question(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(LOG, answers={"GET /v1/conversations?limit=1": {"conversations": []}}))
    result = call(server, "ask", "--continue", "Why?")
    assert (result.exit_code, server.posts) == (2, [])
    assert "no conversation yet" in result.stderr


def test_one_asks_on_in_one_conversation(server: RawServer) -> None:
    result = call(server, "ask", "Why?", "--continue", "--conversation", "c1")
    assert (result.exit_code, server.posts) == (2, [])
    assert "give one" in result.stderr


def test_conversations_are_listed(server: RawServer) -> None:
    result = call(server, "conversations")
    assert result.exit_code == 0
    assert "c1" in result.stdout
    assert "About leases" in result.stdout
    assert json.loads(call(server, "conversations", "--json").stdout) == [SUMMARY]


def test_without_conversations_it_says_how_to_begin(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(LOG, answers={"GET /v1/conversations?limit=20": {"conversations": []}}))
    assert "headrace ask" in call(server, "conversations").stdout


def test_a_conversation_is_shown_with_questions_answers_and_cost(server: RawServer) -> None:
    result = call(server, "conversations", "show", "c1")
    assert result.exit_code == 0, result.output
    for words in (
        "About leases",
        "2 runs",
        "0.0123 USD",
        "> What is a lease?",
        "A right  to a run.",
        "headrace tail r2",
    ):
        assert words in result.stdout
    assert json.loads(call(server, "conversations", "show", "c1", "--json").stdout)["runs"] == RUNS


def test_a_conversation_is_deleted(server: RawServer) -> None:
    result = call(server, "conversations", "delete", "c1")
    assert (result.exit_code, server.paths) == (0, ["DELETE /v1/conversations/c1"])
    assert "deleted conversation c1" in result.stdout


@pytest.mark.parametrize("verb", ["show", "delete"])
def test_an_unknown_conversation_is_a_sentence(server: RawServer, verb: str) -> None:
    result = call(server, "conversations", verb, "c9")
    assert result.exit_code == 1
    assert f"there is no conversation c9 at {server.url}" in result.stderr


def test_a_busy_conversation_is_said(serve_raw: Serve) -> None:
    problem = {"status": 409, "code": "conversation_busy", "detail": "the conversation has an unfinished run"}
    server = serve_raw(RawServer(LOG, refuse=(409, problem)))
    result = call(server, "conversations", "delete", "c1")
    assert (result.exit_code, "unfinished run" in result.stderr) == (1, True)
    assert RUN_ID not in result.output
