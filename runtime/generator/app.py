"""The HTTP application: all rooms' operations together, and the dispatch that turns every failure into a problem.

Out: a Starlette app that any ASGI server can run; it knows the rest of the system only as a ``Door``.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.clock import Clock
from runtime.config import Settings
from runtime.errors import ConfigurationError, StoreUnavailable
from runtime.generator import page
from runtime.generator.accept import JSON, NDJSON, SSE, choose
from runtime.generator.asking import Team
from runtime.generator.auth.audit import AuditLog
from runtime.generator.auth.gate import Gate
from runtime.generator.conversations import ConversationRoutes
from runtime.generator.cors import Cors
from runtime.generator.directory import Directories, DirectoryRoutes, FoundTools, nothing_found, nothing_listed
from runtime.generator.door import Door
from runtime.generator.edge import Edge, RequestIds, request_id_of
from runtime.generator.keys import KeyRoutes
from runtime.generator.operations import Operation, by_path, openapi
from runtime.generator.principal import Authenticator, Development
from runtime.generator.problems import Refusal, answer
from runtime.generator.protocols.ag_ui.routes import AgUiRoutes
from runtime.generator.protocols.ai_sdk.operations import chat_operations
from runtime.generator.protocols.ai_sdk.routes import ChatRoutes
from runtime.generator.query import require_known
from runtime.generator.runs import RunRoutes
from runtime.generator.statistics import StatisticsRoutes
from runtime.generator.stream import EventStream, OpenStreams
from runtime.generator.system import System, document_operations, system_operations
from runtime.generator.tables import LAST_EVENT_ID, conversation_operations, run_operations
from runtime.generator.tenure import Tenures
from runtime.ids import IdSource
from runtime.log.credentials import Credentials
from runtime.log.memory_keys import MemoryKeys
from runtime.telemetry import logger

_log = logger("generator.app")


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
    conversations = conversation_operations(ConversationRoutes(door))
    system = system_operations(System(door, settings, built))
    kept = credentials or MemoryKeys()
    keys = KeyRoutes(kept, clock, max_body_bytes=settings.max_body_bytes).operations()
    ag_ui = AgUiRoutes(door, settings, clock=clock, new_id=new_id, streams=streams, team=team, directory=directory)
    chats = ChatRoutes(door, settings, clock=clock, new_id=new_id, streams=streams, team=team, directory=directory)
    operations = (
        *run_operations(runs),
        *conversations,
        *listing,
        *statistics,
        *ag_ui.operations(),
        *chat_operations(chats),
        *keys,
        *system,
    )
    listed = (*operations, *document_operations(b""))
    document = orjson.dumps(openapi(listed, anyone=settings.auth == "none"))
    operations = (*operations, *document_operations(document))
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
    resumable = any(parameter.name == LAST_EVENT_ID.name for parameter in operation.parameters)
    return resumable and choose(request.headers.getlist("accept"), (SSE, JSON, NDJSON)) == SSE


def _development(settings: Settings) -> Authenticator:
    """For ``auth="none"``. Any other mode without an authenticator is a mistake of whoever builds the application."""
    if settings.auth != "none":
        raise ConfigurationError(f"auth is {settings.auth!r}, and nothing was given to check it with")
    return Development(frozenset(settings.viewer_roles))


def _assets(built: page.Page | None, gate: Gate) -> tuple[Mount, ...]:
    """The files of the page; they are no part of the API, so the table does not have them."""
    if built is None:
        return ()
    served = Operation("GET", "/{name}", "asset", "A file of the page", "public", built.asset, ())
    files = Router([Route("/{name}", Resource({"GET": served}, gate))], redirect_slashes=False)
    return (Mount("/assets", files),)


async def _answer(request: Request, error: Exception) -> Response:
    """What Starlette itself raises (an unknown path), and what broke outside every route."""
    return answer(error, path=request.url.path, request_id=request_id_of(request.scope))
