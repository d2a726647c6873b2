"""The handlers of ``/v1/ag-ui``: AG-UI's one path, and the four that a CopilotKit front end calls."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from ag_ui.core import types as agt
from starlette.requests import Request
from starlette.types import ASGIApp

from runtime.errors import Conflict, NotFound
from runtime.generator.accept import JSON, SSE
from runtime.generator.asking import Asking, ask, require_room, tell, wanted
from runtime.generator.body import parse_json, read_body
from runtime.generator.directory import seen_by
from runtime.generator.operations import Answer, Operation, Parameter
from runtime.generator.principal import Principal, principal_of
from runtime.generator.protocols.ag_ui.copilotkit import AGENT, RuntimeInfo, StopAnswer, runtime_info
from runtime.generator.protocols.ag_ui.framing import AgUi, Thread
from runtime.generator.protocols.ag_ui.interrupts import asked_in
from runtime.generator.protocols.ag_ui.mistakes import refused
from runtime.generator.protocols.ag_ui.projection import Reader
from runtime.generator.protocols.ag_ui.request import key_of, question_of, read_input
from runtime.generator.protocols.ag_ui.resume import answers, read_waits
from runtime.generator.respond import as_json
from runtime.generator.snapshot import links_of
from runtime.generator.stream import EventStream
from runtime.generator.tenure import Batches
from runtime.ids import IDENTIFIER
from runtime.log.log import Run

RUNS_REPLAYED: Final = 20
"""Of a thread that is connected to, the newest."""

IGNORED: Final = "X-Headrace-Ignored"
"""The header that says what of a request had no effect."""


class AgUiRoutes(Asking):
    """AG-UI over the door. Raises the errors of ``runtime.errors`` and ``Refusal``, before a stream begins."""

    async def run(self, request: Request) -> ASGIApp:
        """``POST /v1/ag-ui``: a question, or with ``resume`` the answers to what a run asks; the stream of what follows."""
        _check_agent(request)
        body = await self._input(request)
        require_room(self._streams, request.scope)
        tenant_id = principal_of(request).tenant_id
        if body.resume:
            run, after = await self._answered(body, principal_of(request))
        else:
            run, after = await self._asked(body, tenant_id), 0
        reader = Reader(
            thread_id=body.thread_id,
            versioned=body.protocol_version is not None,
            before=tuple(body.messages),
            resumed=(after, body.run_id) if after else None,
        )
        thread = Thread(reader, after=after, until=(run.run_id, after + 1))
        headers = {"Location": links_of(run.run_id).self, "X-Run-Id": run.run_id}
        if body.tools:
            headers[IGNORED] = "tools"
        return await self._stream(request, [run.run_id], thread, headers)

    async def connect(self, request: Request) -> ASGIApp:
        """``POST …/connect``: the thread's newest runs from their start, and what is still to come of the last."""
        _check_agent(request)
        body = await self._input(request)
        require_room(self._streams, request.scope)
        tenant_id = principal_of(request).tenant_id
        runs = await self._door.runs_of(tenant_id, body.thread_id, limit=RUNS_REPLAYED)
        reader = Reader(body.thread_id, versioned=body.protocol_version is not None, clear=bool(body.messages))
        until = (runs[0].run_id, runs[0].last_seq) if runs else ("", 0)
        return await self._stream(request, [run.run_id for run in reversed(runs)], Thread(reader, until=until))

    async def stop(self, request: Request) -> ASGIApp:
        """``POST …/stop/{threadId}``: cancel the thread's run; 200 whether or not there is one."""
        _check_agent(request)
        thread_id = request.path_params["thread_id"]
        tenant_id = principal_of(request).tenant_id
        found = await self._door.runs_of(tenant_id, thread_id, limit=1) if IDENTIFIER.match(thread_id) else []
        stopped = bool(found) and await self._cancelled(found[0])
        message = (
            "The run is being stopped; what was completed stays." if stopped else "No run of this thread is active."
        )
        return as_json(StopAnswer(stopped=stopped, message=message))

    async def info(self, request: Request) -> ASGIApp:
        """``GET …/info``: what a CopilotKit front end asks first."""
        return as_json(runtime_info())

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the table."""
        stream = Answer(200, "AG-UI events, live.", {SSE: None}, ("Location", "X-Run-Id", IGNORED))
        replay = Answer(200, "AG-UI events: those of before, then live.", {SSE: None})
        stopped = Answer(200, "Whether there was a run to stop.", {JSON: StopAnswer})
        info = Answer(200, "The agents, and what they can do.", {JSON: RuntimeInfo})
        refusals = (406, 408, 409, 413, 415, 422, 429, 503)
        agent = Parameter("agent_id", "path", f"The agent: {AGENT}.", {"type": "string", "enum": [AGENT]})
        thread = Parameter("thread_id", "path", "The thread.", {"type": "string"})
        base, path = "/v1/ag-ui", "/v1/ag-ui/agent/{agent_id}"
        body = agt.RunAgentInput
        return (
            Operation(
                "POST",
                base,
                "agUiRun",
                "Ask, or answer, over AG-UI",
                "runs:write",
                self.run,
                (stream,),
                (*refusals, 404),
                (),
                body,
            ),
            Operation(
                "POST",
                f"{path}/run",
                "copilotKitRun",
                "The same, for CopilotKit",
                "runs:write",
                self.run,
                (stream,),
                (*refusals, 404),
                (agent,),
                body,
            ),
            Operation(
                "POST",
                f"{path}/connect",
                "copilotKitConnect",
                "Read a thread again, and follow it",
                "runs:read",
                self.connect,
                (replay,),
                (*refusals, 404),
                (agent,),
                body,
            ),
            Operation(
                "POST",
                f"{path}/stop/{{thread_id}}",
                "copilotKitStop",
                "Stop a thread's run",
                "runs:cancel",
                self.stop,
                (stopped,),
                (404, 503),
                (agent, thread),
            ),
            Operation(
                "GET", f"{base}/info", "copilotKitInfo", "What CopilotKit asks first", "runs:read", self.info, (info,)
            ),
        )

    async def _input(self, request: Request) -> agt.RunAgentInput:
        wanted(request, (SSE,))
        return read_input(parse_json(await read_body(request, max_bytes=self._settings.max_body_bytes)))

    async def _asked(self, body: agt.RunAgentInput, tenant_id: str) -> Run:
        """The run that answers the question: a new one, or the one that this run id of this thread began."""
        return await ask(
            self._door,
            self._settings,
            question_of(body),
            clock=self._clock,
            new_id=self._new_id,
            tenant_id=tenant_id,
            key=key_of(body),
            default="cancel",
        )

    async def _answered(self, body: agt.RunAgentInput, who: Principal) -> tuple[Run, int]:
        """The run that was asking, with its answers recorded, and the number of the interrupt they are to."""
        resume = body.resume or []
        asked = [asked_in(entry.interrupt_id, place) for place, entry in enumerate(resume)]
        if len({one.run_id for one in asked}) > 1:
            raise refused("/resume", "these are interrupts of different runs")
        if len({one.approval for one in asked}) < len(asked):
            raise refused("/resume", "an interrupt is answered twice")
        run = await self._door.get(asked[0].run_id)
        if run is None or run.tenant_id != who.tenant_id or run.conversation_id != body.thread_id:
            raise NotFound("no such run")
        agents = await asyncio.to_thread(self._team)
        found = await read_waits(self._door, run.run_id)
        seq, new = answers(found, resume, asked, agents, by=who.subject)
        for said in new:
            await tell(self._door, run.run_id, said, clock=self._clock, agents=agents, name="", by=who.subject)
        return run, seq

    async def _cancelled(self, run: Run) -> bool:
        if run.terminal:
            return False
        try:
            await self._door.cancel(run.run_id, "user")
        except Conflict:  # it has ended meanwhile
            return False
        return True

    async def _stream(
        self, request: Request, run_ids: Sequence[str], thread: Thread, headers: dict[str, str] | None = None
    ) -> EventStream:
        view = (await seen_by(request, self._directory)).view
        follow = functools.partial(self._follow, run_ids)
        return EventStream(follow, streams=self._streams, headers=headers, framing=AgUi(thread, view))

    async def _follow(self, run_ids: Sequence[str]) -> Batches:
        """One run after another."""
        for run_id in run_ids:
            async with aclosing(self._door.follow(run_id, after=0, idle_s=self._settings.heartbeat_s)) as batches:
                async for batch in batches:
                    yield batch


def _check_agent(request: Request) -> None:
    """Raises NotFound for any agent but ours; AG-UI's own path names none."""
    if request.path_params.get("agent_id", AGENT) != AGENT:
        raise NotFound("no such agent")
