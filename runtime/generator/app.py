"""The HTTP application: the table of operations, and the dispatch that turns every failure into a problem.

Out: a Starlette app that any ASGI server can run; it knows the rest of the system only as a ``Door``.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime import __version__
from runtime.clock import Clock
from runtime.config import Settings
from runtime.errors import ConfigurationError, StoreUnavailable
from runtime.generator import page
from runtime.generator.accept import JSON, NDJSON, SSE, choose
from runtime.generator.auth.audit import AuditLog
from runtime.generator.auth.gate import Gate
from runtime.generator.contract import (
    CancelAccepted,
    ConversationList,
    ConversationView,
    EventPage,
    Healthy,
    InputAccepted,
    Readiness,
    RunAcceptedBody,
    RunList,
    RunSnapshot,
)
from runtime.generator.conversations import MAX_CONVERSATIONS, MAX_RUNS, ConversationRoutes
from runtime.generator.cors import Cors
from runtime.generator.directory import Directories, DirectoryRoutes, FoundTools, nothing_found, nothing_listed
from runtime.generator.door import Door
from runtime.generator.edge import Edge, RequestIds, request_id_of
from runtime.generator.keys import KeyRoutes
from runtime.generator.operations import Answer, Operation, Parameter, by_path, openapi
from runtime.generator.principal import Authenticator, Development
from runtime.generator.problems import STORE_RETRY_S, Refusal, answer, retry_after
from runtime.generator.protocols.ag_ui.routes import AgUiRoutes
from runtime.generator.protocols.ai_sdk.operations import chat_operations
from runtime.generator.protocols.ai_sdk.routes import ChatRoutes
from runtime.generator.query import require_known
from runtime.generator.requests import CreateRun, PersonInput, ResumeRun
from runtime.generator.runs import MAX_LIST, MAX_PAGE, RunRoutes, Team
from runtime.generator.statistics import StatisticsRoutes
from runtime.generator.stream import EventStream, OpenStreams
from runtime.generator.tenure import Tenures
from runtime.ids import IdSource
from runtime.log.credentials import Credentials
from runtime.log.memory_keys import MemoryKeys
from runtime.telemetry import logger

_log = logger("generator.app")

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
_LAST_EVENT_ID = Parameter("Last-Event-ID", "header", "The same as after, and wins over it.", _CURSOR_SCHEMA)


def build_app(
    door: Door,
    settings: Settings,
    *,
    clock: Clock,
    new_id: IdSource,
    team: Team,
    directory: Directories = nothing_listed,
    found_tools: FoundTools = nothing_found,
    authenticate: Authenticator | None = None,
    credentials: Credentials | None = None,
    audit: AuditLog | None = None,
    echo_request_id: bool = True,
    built: page.Page | None = None,
) -> Starlette:
    """The application over ``door``; ``team`` names the agents of plans, ``directory`` says what there is and who sees it.

    ``authenticate`` is left out in development mode.
    ``echo_request_id`` False: a proxy in front sets ``x-request-id`` on responses. ``built``: the page to show; what
    ``make web`` built when left out, and text where that is missing too.
    """
    gate = Gate(authenticate or _development(settings), settings, clock, audit or AuditLog())
    tenures = Tenures(gate.still, clock)
    built = built or page.load()
    streams = OpenStreams(settings.max_streams, each=settings.max_streams_per_principal, tenures=tenures)
    runs = RunRoutes(door, settings, clock=clock, new_id=new_id, streams=streams, team=team, directory=directory)
    listing = DirectoryRoutes(directory, found_tools).operations()
    statistics = StatisticsRoutes(door, clock, directory, found_tools).operations()
    conversations = _conversation_operations(ConversationRoutes(door))
    system = _system_operations(_System(door, settings, built))
    kept = credentials or MemoryKeys()
    keys = KeyRoutes(kept, clock, max_body_bytes=settings.max_body_bytes).operations()
    ag_ui = AgUiRoutes(door, settings, clock=clock, new_id=new_id, streams=streams, team=team, directory=directory)
    chats = ChatRoutes(door, settings, clock=clock, new_id=new_id, streams=streams, team=team, directory=directory)
    operations = (
        *_run_operations(runs),
        *conversations,
        *listing,
        *statistics,
        *ag_ui.operations(),
        *chat_operations(chats),
        *keys,
        *system,
    )
    listed = (*operations, *_document_operations(b""))
    document = orjson.dumps(openapi(listed, anyone=settings.auth == "none"))
    operations = (*operations, *_document_operations(document))
    app = Starlette(
        routes=[
            *(Route(path, Resource(methods, gate)) for path, methods in by_path(operations).items()),
            *_assets(built, gate),
        ],
        middleware=[
            Middleware(RequestIds, new_id=new_id, echo=echo_request_id),
            Middleware(Edge, loopback_only=settings.auth == "none", hosts=settings.allowed_hosts),
            Middleware(Cors, origins=settings.cors_origins),
        ],
        exception_handlers={404: _answer, Exception: _answer},
    )
    app.router.redirect_slashes = False  # a trailing slash is another path, and not there
    return app


class Resource:
    """One path as an ASGI app: picks the operation by method, asks who asks, answers failures as problems."""

    def __init__(self, operations: Mapping[str, Operation], gate: Gate) -> None:
        self._gate = gate
        self._operations = dict(operations)
        if "GET" in operations:
            self._operations["HEAD"] = operations["GET"]
        self._allow = {"Allow": ", ".join(sorted([*self._operations, "OPTIONS"]))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        operation = self._operations.get(request.method)
        try:
            response = await self._respond(request, operation)
        except ClientDisconnect:
            _log.info("request %s: the client left before its body was whole", request_id_of(scope))
            return
        except Exception as error:  # the border: everything becomes an answer, and is logged there
            response = answer(error, path=scope["path"], request_id=request_id_of(scope))
        if operation is not None:
            headers = getattr(response, "headers", {})
            self._gate.told(request, operation, getattr(response, "status_code", 200), headers.get("X-Run-Id"))
        await response(scope, receive, send)

    async def _respond(self, request: Request, operation: Operation | None) -> ASGIApp:
        if operation is not None:
            try:
                await self._gate.admit(request, operation)
            except StoreUnavailable:
                if not _resumes(request, operation):
                    raise
                return EventStream(None, streams=OpenStreams(1))  # a 503 would end an EventSource for good
            if operation.queries is not None:
                require_known(request, operation.queries)
            return await operation.handler(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=self._allow)
        detail = f"This address takes {self._allow['Allow']}."
        raise Refusal(405, "method_not_allowed", detail, headers=self._allow)


def _resumes(request: Request, operation: Operation) -> bool:
    """Whether a stream is asked for again whose reader knows what ``retry:`` means."""
    resumable = any(parameter.name == _LAST_EVENT_ID.name for parameter in operation.parameters)
    return resumable and choose(request.headers.getlist("accept"), (SSE, JSON, NDJSON)) == SSE


def _development(settings: Settings) -> Authenticator:
    """For ``auth="none"``. Any other mode without an authenticator is a mistake of whoever builds the application."""
    if settings.auth != "none":
        raise ConfigurationError(f"auth is {settings.auth!r}, and nothing was given to check it with")
    return Development(frozenset(settings.viewer_roles))


class _System:
    """The handlers that are not about runs."""

    def __init__(self, door: Door, settings: Settings, built: page.Page | None) -> None:
        self._door = door
        self._open = settings.auth == "none"
        self._page = built
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._url = f"http://{host}:{settings.port}"

    async def index(self, request: Request) -> ASGIApp:
        if self._page is not None and page.wants_page(request):
            return self._page.index()
        return PlainTextResponse(INDEX.format(version=__version__, url=self._url), headers={"Vary": "Accept"})

    async def healthy(self, request: Request) -> ASGIApp:
        return Response(Healthy().model_dump_json(), media_type=JSON)

    async def ready(self, request: Request) -> ASGIApp:
        problems = await self._door.problems()
        if not self._open:  # where everybody may ask, nobody is told where our database is
            problems = dict.fromkeys(problems, "This does not work just now; the server's log says why.")
        body = Readiness(status="not_ready" if problems else "ready", problems=problems)
        if problems:
            return Response(body.model_dump_json(), 503, retry_after(STORE_RETRY_S), media_type=JSON)
        return Response(body.model_dump_json(), media_type=JSON)


INDEX = """\
Headrace {version}: streaming agents.

Ask, and read the run live:
  curl -N {url}/v1/runs -H 'Accept: text/event-stream' -H 'Content-Type: application/json' \\
       -d '{{"input": "What do these documents say about recovery?"}}'

Ask, and read later:
  curl {url}/v1/runs -H 'Content-Type: application/json' -d '{{"input": "..."}}'
  curl {url}/v1/runs/RUN_ID
  curl -N {url}/v1/runs/RUN_ID/events -H 'Last-Event-ID: 17.1'
  curl -X POST {url}/v1/runs/RUN_ID/cancel
  curl -X POST {url}/v1/runs/RUN_ID/resume
  curl {url}/v1/runs/RUN_ID/input -H 'Content-Type: application/json' \\
       -d '{{"type": "message", "text": "Keep it short."}}'

Ask on, in the same conversation: add "conversation_id", which every run tells.
  curl {url}/v1/conversations/CONVERSATION_ID
  curl -X DELETE {url}/v1/conversations/CONVERSATION_ID

All runs: {url}/v1/runs   All conversations: {url}/v1/conversations   Agents: {url}/v1/agents   Tools: {url}/v1/tools
How it goes: {url}/v1/statistics
The whole API: {url}/openapi.json   Ready? {url}/readyz
"""


def _run_operations(runs: RunRoutes) -> tuple[Operation, ...]:
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
            (_RUN_ID, _AFTER, _LAST_EVENT_ID, page_limit),
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


def _conversation_operations(conversations: ConversationRoutes) -> tuple[Operation, ...]:
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


def _system_operations(system: _System) -> tuple[Operation, ...]:
    text = Answer(200, "How to begin; the page, for those who take HTML.", {page.TEXT: None, page.HTML: None})
    alive = Answer(200, "The process answers.", {JSON: Healthy})
    ready = Answer(200, "Runs can be accepted.", {JSON: Readiness})
    not_ready = Answer(503, "Something is missing.", {JSON: Readiness}, ("Retry-After",))
    return (
        Operation("GET", "/", "index", "How to begin", "public", system.index, (text,)),
        Operation("GET", "/healthz", "healthz", "Liveness", "public", system.healthy, (alive,)),
        Operation("GET", "/readyz", "readyz", "Readiness", "public", system.ready, (ready, not_ready)),
    )


def _assets(built: page.Page | None, gate: Gate) -> tuple[Mount, ...]:
    """The files of the page; they are no part of the API, so the table does not have them."""
    if built is None:
        return ()
    served = Operation("GET", "/{name}", "asset", "A file of the page", "public", built.asset, ())
    files = Router([Route("/{name}", Resource({"GET": served}, gate))], redirect_slashes=False)
    return (Mount("/assets", files),)


def _document_operations(document: bytes) -> tuple[Operation, ...]:
    """The description of the API, which describes itself too."""

    async def handler(request: Request) -> ASGIApp:
        return Response(document, media_type=JSON)

    described = Answer(200, "OpenAPI 3.1.", {JSON: None})
    return (Operation("GET", "/openapi.json", "openapi", "This description", "public", handler, (described,)),)


async def _answer(request: Request, error: Exception) -> Response:
    """What Starlette itself raises (an unknown path), and what broke outside every route."""
    return answer(error, path=request.url.path, request_id=request_id_of(request.scope))
