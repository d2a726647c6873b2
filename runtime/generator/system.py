"""The operations that are about the server itself: how to begin, whether it lives, what it is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from runtime import __version__
from runtime.config import Settings
from runtime.generator import page
from runtime.generator.accept import JSON
from runtime.generator.contract import Healthy, Readiness
from runtime.generator.door import Door
from runtime.generator.operations import Answer, Operation
from runtime.generator.problems import STORE_RETRY_S, retry_after


class System:
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


def system_operations(system: System) -> tuple[Operation, ...]:
    text = Answer(200, "How to begin; the page, for those who take HTML.", {page.TEXT: None, page.HTML: None})
    alive = Answer(200, "The process answers.", {JSON: Healthy})
    ready = Answer(200, "Runs can be accepted.", {JSON: Readiness})
    not_ready = Answer(503, "Something is missing.", {JSON: Readiness}, ("Retry-After",))
    return (
        Operation("GET", "/", "index", "How to begin", "public", system.index, (text,)),
        Operation("GET", "/healthz", "healthz", "Liveness", "public", system.healthy, (alive,)),
        Operation("GET", "/readyz", "readyz", "Readiness", "public", system.ready, (ready, not_ready)),
    )


def document_operations(document: bytes) -> tuple[Operation, ...]:
    """The description of the API, which describes itself too."""

    async def handler(request: Request) -> ASGIApp:
        return Response(document, media_type=JSON)

    described = Answer(200, "OpenAPI 3.1.", {JSON: None})
    return (Operation("GET", "/openapi.json", "openapi", "This description", "public", handler, (described,)),)
