"""The rows of the API's table that are about runs and conversations; the other rooms keep their own."""

from __future__ import annotations

from runtime.generator.accept import JSON, NDJSON, SSE
from runtime.generator.contract import (
    CancelAccepted,
    ConversationList,
    ConversationView,
    EventPage,
    InputAccepted,
    RunAcceptedBody,
    RunList,
    RunSnapshot,
)
from runtime.generator.conversations import MAX_CONVERSATIONS, MAX_RUNS, ConversationRoutes
from runtime.generator.operations import Answer, Operation, Parameter
from runtime.generator.requests import CreateRun, PersonInput, ResumeRun
from runtime.generator.runs import MAX_LIST, MAX_PAGE, RunRoutes

_CONVERSATION_ID = Parameter(
    "conversation_id", "path", "The conversation.", {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
)
_RUN_ID = Parameter("run_id", "path", "The run.", {"type": "string", "format": "uuid"})
_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "The same key with the same body names the same run.",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[ -~]+$"},
)
_CURSOR_SCHEMA = {"type": "string", "pattern": r"^((0|[1-9][0-9]{0,14})(\.(0|[1-9][0-9]{0,8}))?)?$"}
_AFTER = Parameter("after", "query", "The id of the last event seen.", _CURSOR_SCHEMA)
LAST_EVENT_ID = Parameter("Last-Event-ID", "header", "The same as after, and wins over it.", _CURSOR_SCHEMA)


def run_operations(runs: RunRoutes) -> tuple[Operation, ...]:
    list_limit = Parameter("limit", "query", "How many.", {"type": "integer", "minimum": 1, "maximum": MAX_LIST})
    page_limit = Parameter("limit", "query", "Of a page.", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE})
    stream = Answer(200, "The events, live.", {SSE: None}, ("Location", "X-Run-Id"))
    accepted = Answer(202, "The run exists.", {JSON: RunAcceptedBody}, ("Location", "X-Run-Id"))
    listed = Answer(200, "The newest runs first.", {JSON: RunList})
    shown = Answer(200, "The state of the run.", {JSON: RunSnapshot})
    events = Answer(200, "The events: live, or a page of them.", {SSE: None, JSON: EventPage, NDJSON: None})
    read = Answer(204, "The run is finished, and read to its end.", {})
    resumed = Answer(201, "The new run exists.", {JSON: RunAcceptedBody}, ("Location", "X-Run-Id"))
    said = Answer(202, "It is recorded.", {JSON: InputAccepted})
    cancelled = Answer(202, "The request is recorded; what was completed stays.", {JSON: CancelAccepted})
    path = "/v1/runs/{run_id}"
    creation = (406, 408, 409, 413, 415, 422, 429, 503)
    return (
        Operation(
            "POST",
            "/v1/runs",
            "createRun",
            "Ask something",
            "runs:write",
            runs.create,
            (stream, accepted),
            creation,
            (_KEY,),
            CreateRun,
        ),
        Operation(
            "GET", "/v1/runs", "listRuns", "The newest runs", "runs:read", runs.list, (listed,), (503,), (list_limit,)
        ),
        Operation(
            "GET", path, "getRun", "A snapshot of a run", "runs:read", runs.show, (shown,), (404, 503), (_RUN_ID,)
        ),
        Operation(
            "GET",
            path + "/events",
            "getEvents",
            "Follow a run, or page through it",
            "runs:read",
            runs.events,
            (events, read),
            (404, 406, 409, 429, 503),
            (_RUN_ID, _AFTER, LAST_EVENT_ID, page_limit),
        ),
        Operation(
            "POST",
            path + "/cancel",
            "cancelRun",
            "End a run",
            "runs:cancel",
            runs.cancel,
            (cancelled,),
            (404, 409, 503),
            (_RUN_ID,),
        ),
        Operation(
            "POST",
            path + "/input",
            "sayToRun",
            "Approve, answer, steer, or end one step",
            "runs:write",
            runs.say,
            (said,),
            (404, 408, 409, 413, 415, 422, 503),
            (_RUN_ID, _KEY),
            PersonInput,
        ),
        Operation(
            "POST",
            path + "/resume",
            "resumeRun",
            "Go on from an ended run, in a new one",
            "runs:write",
            runs.resume,
            (stream, resumed),
            (*creation, 404),
            (_RUN_ID, _KEY),
            ResumeRun,
            body_required=False,
        ),
    )


def conversation_operations(conversations: ConversationRoutes) -> tuple[Operation, ...]:
    def page(most: int, before: dict[str, object]) -> tuple[Parameter, Parameter]:
        limit = Parameter("limit", "query", "Of a page.", {"type": "integer", "minimum": 1, "maximum": most})
        return limit, Parameter("before", "query", "next_before of the page before.", before)

    place: dict[str, object] = {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}
    listed = Answer(200, "Those with the newest runs first.", {JSON: ConversationList})
    shown = Answer(200, "The conversation.", {JSON: ConversationView})
    deleted = Answer(204, "Its runs are gone, with all their text.", {})
    path, named = "/v1/conversations/{conversation_id}", (_CONVERSATION_ID,)
    return (
        Operation(
            "GET",
            "/v1/conversations",
            "listConversations",
            "The newest conversations",
            "runs:read",
            conversations.list,
            (listed,),
            (503,),
            page(MAX_CONVERSATIONS, place),
        ),
        Operation(
            "GET",
            path,
            "getConversation",
            "A conversation with its runs",
            "runs:read",
            conversations.show,
            (shown,),
            (404, 503),
            (*named, *page(MAX_RUNS, {"type": "string", "format": "uuid"})),
        ),
        Operation(
            "DELETE",
            path,
            "deleteConversation",
            "Delete a conversation with all its runs",
            "runs:write",
            conversations.delete,
            (deleted,),
            (404, 409, 503),
            named,
        ),
    )
