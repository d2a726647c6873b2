"""P15 on Ray Serve: the corpus, slow senders with the shipped times, idle and half-open connections, and a door that dies.

Serve's proxy is where connections end, so what protects it is shown there (``actors/proxy.py``).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import Served, served
from tests.faults.report import record
from tests.hostile.check import general, healthy_beside
from tests.hostile.corpus import corpus
from tests.hostile.raw import exchange, post, request
from tests.hostile.run import tried
from tests.hostile.server import SCRIPT, world
from tests.hostile.slow import BODY, HALF_OPEN, HEAD, IDLE, NOISE_S, P99_RATIO, compared, lingering, p99, trickled

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("bad-input")
    script = folder / "script.toml"
    script.write_text(SCRIPT)
    with served(folder / "data", "--model", "scripted", "--script", str(script)) as running:
        yield running


async def test_every_case_of_the_corpus_gets_the_same_answer_from_serve(system: Served) -> None:
    cases = corpus()
    there = await world(system.url)
    async with healthy_beside(system.port) as healthy:
        wrong = await tried(there, cases)
    record(
        promise="P15",
        what="cases of the corpus of bad input over sockets, on Ray Serve",
        n=len(cases),
        violations=len(wrong),
    )
    assert not wrong, "\n".join(wrong)
    assert healthy.served >= 20 and healthy.failed == 0


async def test_slow_senders_are_ended_at_the_shipped_times(system: Served) -> None:
    async with asyncio.TaskGroup() as group:
        heads = [group.create_task(trickled(system.port, b"", HEAD, 1, longest_s=30)) for _ in range(20)]
        bodies = [group.create_task(trickled(system.port, BODY, b" ", 1, longest_s=60)) for _ in range(20)]
        silent = group.create_task(exchange(system.port, b"", patience_s=30, to_end=True))
    late = [task.result() for task in heads if not 9.5 < task.result().after_s < 13]
    late += [task.result() for task in bodies if not 29.5 < task.result().after_s < 34]
    record(
        promise="P15",
        what="requests trickled at a byte a second, ended after 10 s and 30 s",
        n=40,
        violations=len(late),
    )
    assert not late
    assert {(task.result().reply.status, task.result().reply.code) for task in heads} == {(408, "head_timeout")}
    assert {(task.result().reply.status, task.result().reply.code) for task in bodies} == {(408, "body_timeout")}
    assert silent.result().closed and silent.result().status == 0


async def test_healthy_requests_are_answered_beside_idle_and_half_open_connections(system: Served) -> None:
    async with lingering(system.port, IDLE, HALF_OPEN):
        await p99(system.port)  # each is answered 200


@pytest.mark.slow  # a ratio of times is for a machine that does nothing else
async def test_healthy_requests_do_not_notice_idle_and_half_open_connections(system: Served) -> None:
    alone, beside = await compared(lambda: p99(system.port), lambda: lingering(system.port, IDLE, HALF_OPEN))
    floor = f"p99 {1e3 * beside:.1f} ms beside {1e3 * alone:.1f} ms alone"
    broken = beside + NOISE_S > P99_RATIO * (alone + NOISE_S)
    what = f"{IDLE} idle and {HALF_OPEN} half-open connections, on Ray Serve"
    record(promise="P15", what=what, n=IDLE + HALF_OPEN, violations=int(broken), floor=floor)
    assert not broken, floor


async def test_client_whose_door_dies_is_told_to_ask_again(system: Served) -> None:
    """Serve's proxy would say 500 in plain text."""
    (replica,) = system.pid_of("ray::ServeReplica")
    head = request("POST", "/v1/runs", [("Content-Type", "application/json"), ("Content-Length", "900")])
    asking = asyncio.create_task(exchange(system.port, head, patience_s=30))
    await asyncio.sleep(1)
    os.kill(replica, signal.SIGKILL)
    reply = await asking
    assert (reply.status, reply.code) == (503, "door_lost"), reply
    assert reply.headers["retry-after"] and not general(reply, refused=True)
    async with asyncio.timeout(90):
        while (
            reply := await exchange(system.port, post("/v1/runs", b'{"input":"Why?"}'), patience_s=30)
        ).status != 202:
            assert reply.status == 503 and not general(reply, refused=True), reply
            await asyncio.sleep(0.2)


def test_nothing_of_it_is_a_failure_in_the_servers_own_words(system: Served) -> None:
    """Whatever came before in this module: no door failed by itself."""
    output = system.output.read_text(errors="replace")
    assert "Traceback" not in output, output[-3000:]
