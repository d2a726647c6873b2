"""EventGenerator: the Serve deployment that streams HTTP; runs live elsewhere, so a replica can die at any time.

No ``from __future__ import annotations`` here: Serve needs real annotations (RAY.md 4).
"""

import asyncio
from functools import partial

from ray import serve
from starlette.applications import Starlette

from actors.handles import ExecutorHandle, HubHandle, agent_handles
from actors.placement import executor_names, hub_name
from runtime.bootstrap.auth import HubCredentials, build_audit, build_authenticator
from runtime.bootstrap.doors import FoundByAgents, build_door, directory_of, team_of
from runtime.bootstrap.store import build_reader
from runtime.clock import SystemClock
from runtime.config import Settings, from_json, to_json
from runtime.generator.app import build_app
from runtime.generator.directory import Directory
from runtime.ids import new_id
from runtime.secret_values import redactor_of
from runtime.telemetry import guard

SPARE_REQUESTS = 500
"""Requests a replica takes beside its streams: our own limits answer with words before Serve's do."""

DRAIN_S = 3.0
"""Serve's time for open requests at a stop; streams are resumed by their readers, so it can be short."""


class EventGeneratorHost:
    """One replica: a door and its HTTP application."""

    def __init__(self, settings: str) -> None:
        self._settings = from_json(settings)
        guard(redactor_of(self._settings).text)
        hub = HubHandle(hub_name(self._settings))
        executors = [ExecutorHandle(name) for name in executor_names(self._settings)]
        reader = build_reader(self._settings, hub)
        self._door = build_door(self._settings, f"door-{new_id()[:8]}", hub, executors, SystemClock(), reader)
        self._authenticate = build_authenticator(self._settings, reader, SystemClock())
        self._credentials = HubCredentials(reader, hub)
        self._attached: asyncio.Task[None] | None = None
        self._listed: asyncio.Future[Directory] | None = None

    def __serve_build_asgi_app__(self) -> Starlette:
        """Run by Serve after the constructor, on the loop that serves requests."""
        self._attached = asyncio.ensure_future(self._door.start())
        directory = directory_of(self._settings)
        roles = frozenset(self._settings.viewer_roles)
        self._listed = asyncio.ensure_future(asyncio.to_thread(directory, roles))  # before the first reader needs it
        return build_app(
            self._door,
            self._settings,
            clock=SystemClock(),
            new_id=new_id,
            team=team_of(self._settings),
            directory=directory,
            authenticate=self._authenticate,
            credentials=self._credentials,
            audit=build_audit(self._settings),
            found_tools=FoundByAgents(self._settings, partial(agent_handles, self._settings), SystemClock()),
            echo_request_id=False,
        )


def application(settings: Settings) -> serve.Application:
    """The door as a Serve application; the actors it needs are found by name."""
    deployment = serve.deployment(
        name="EventGenerator",
        num_replicas=1,
        max_ongoing_requests=settings.max_streams + SPARE_REQUESTS,
        max_queued_requests=100,
        graceful_shutdown_timeout_s=DRAIN_S,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options={"num_cpus": 0.1},
    )(serve.ingress()(EventGeneratorHost))
    return deployment.bind(to_json(settings))
