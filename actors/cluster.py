"""A whole system on Ray, once connected: start, stay, stop in order."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions

from actors.event_generator import application
from actors.supervisor import make_supervisor, start_actors, stop_supervisor, supervision_trouble
from runtime.config import Settings
from runtime.telemetry import logger

_log = logger("cluster")

STOP_WITHIN_S = 5.0
"""For a stop in order, beside ``drain_s``; the parent process ends what is left 8 s after that."""

DOOR_WITHIN_S, LOOK_AT_DOOR_EVERY_S = 30.0, 0.1
"""How long the door may take to attach to the hub once both are there."""

PROXY_NAME, PROXY_WITHIN_S = "SERVE_PROXY_ACTOR", 15.0
"""How Serve's proxies are called, and how long they are looked for."""

LOOK_EVERY_S = 5.0
"""Between looks at the supervisor."""

SUPERVISOR_SILENT_S = 60.0
"""A supervisor that cannot be asked for so long will not come back: Ray restarts it in a few seconds."""


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    start(settings)
    _await_door(settings)
    print(f"READY http://{settings.host}:{settings.port}", flush=True)  # noqa: T201  # the parent waits for this line
    try:
        return asyncio.run(_until_signalled(settings))
    finally:
        stop(settings)


def start(settings: Settings) -> None:
    """The actors that runs begin with and the door, side by side; then the others.

    Ray starts as many processes at a time as there are cores, in the order they were asked for: whatever is waited for
    before the next is asked for leaves a core idle.
    """
    supervisor = make_supervisor(settings)
    with ThreadPoolExecutor(max_workers=1) as pool:
        serving = pool.submit(serve.start, http_options=HTTPOptions(host=settings.host, port=settings.port))
        _await_proxy_asked_for()
        first = start_actors(supervisor, only_first=True)
        # beside serve.start, which waits for the proxy: the replica does not need to
        serve.run(application(settings), name="headrace", route_prefix="/", blocking=False)
        serving.result()
    ray.get(first)
    start_actors(supervisor)  # the rest comes while the first run is planned; a failure shows as trouble


def _await_proxy_asked_for() -> None:
    """Until Serve's controller has asked for its proxy; a hint only, so a while without it is enough."""
    for _ in range(int(PROXY_WITHIN_S / LOOK_AT_DOOR_EVERY_S)):
        if any(actor["name"].startswith(PROXY_NAME) for actor in ray.util.list_named_actors(all_namespaces=True)):
            return
        time.sleep(LOOK_AT_DOOR_EVERY_S)
    _log.info("Serve has not asked for its proxy within %g s; the actors are started anyway", PROXY_WITHIN_S)


def _await_door(settings: Settings) -> None:
    """Until the door itself says that it is ready. Raises ``RuntimeError`` with its last words."""
    url = f"http://{settings.host}:{settings.port}/readyz"
    words = "it did not answer"
    with httpx2.Client(timeout=DOOR_WITHIN_S, trust_env=False) as client:
        for _ in range(int(DOOR_WITHIN_S / LOOK_AT_DOOR_EVERY_S)):
            answer = client.get(url)
            if answer.status_code == httpx2.codes.OK:
                return
            words = answer.text
            time.sleep(LOOK_AT_DOOR_EVERY_S)
    raise RuntimeError(f"the door at {url} did not get ready within {DOOR_WITHIN_S:g} s: {words}")


def stop(settings: Settings) -> None:
    """Hand runs over, close the log, take Ray down."""
    try:
        stop_supervisor(settings, within_s=STOP_WITHIN_S + settings.drain_s)
    except Exception as error:  # what is left is ended by the parent, and the log needs no goodbye
        _log.warning("the actors did not stop in order: %r", error)
    ray.shutdown()


async def _until_signalled(settings: Settings) -> int:
    told = asyncio.Event()
    heard = time.monotonic()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    while True:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await told.wait()
            return 0
        except TimeoutError:
            try:
                trouble = await supervision_trouble(settings, within_s=LOOK_EVERY_S)
                heard = time.monotonic()
            except (RayError, TimeoutError, ValueError) as error:  # it, or what it runs on, is being restarted
                _log.warning("the supervisor cannot be asked: %r", error)
                silent_s = time.monotonic() - heard
                trouble = f"no supervisor for {silent_s:.0f} s" if silent_s > SUPERVISOR_SILENT_S else None
            if trouble:
                print(f"headrace: {trouble}", file=sys.stderr)  # noqa: T201  # for the parent to show
                return 1
