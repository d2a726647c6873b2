"""The parent of ``serve``, with a small script as its child: nothing is ever left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from runtime.cli.parent import ChildFailed, Limits, Parent

ROOT = Path(__file__).parents[2]

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
pids = [subprocess.Popen([sys.executable, "-c", code], start_new_session=new).pid for new in (False, True)]
open(sys.argv[1], "w").write(" ".join(str(p) for p in [os.getpid(), *pids]))
print("noise before", flush=True)
print("READY http://127.0.0.1:1", flush=True)
time.sleep(600)
"""
CRASHING = """
import os, sys, time
log = open(sys.argv[1], "a"); log.write("x"); log.close()
print("READY http://127.0.0.1:1", flush=True)
if len(open(sys.argv[1]).read()) <= int(sys.argv[2]):
    os._exit(3)
time.sleep(600)
"""
HOPELESS = "import sys; print('no such model', file=sys.stderr); sys.exit(5)"
BONDED = """
import os, sys, time
from runtime.cli.parent import die_with_parent
die_with_parent()
open(sys.argv[1], "w").write(str(os.getpid()))
print("READY http://127.0.0.1:1", flush=True)
time.sleep(600)
"""


def parent_of(said: list[str], script: str, *arguments: object, **limits: float) -> Parent:
    command = [sys.executable, "-c", script, *(str(a) for a in arguments)]
    return Parent(command, dict(os.environ), say=said.append, limits=Limits(**limits))  # type: ignore[arg-type]


def alive(pids: list[int]) -> list[int]:
    return [p for p in pids if psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE]


async def test_stop_leaves_nothing_of_a_child_that_ignores_it(tmp_path: Path) -> None:
    said: list[str] = []
    parent = parent_of(said, STUBBORN, tmp_path / "pids", grace_s=0.3)
    url, took = await parent.start()
    assert url == "http://127.0.0.1:1"
    assert took > 0
    pids = [int(p) for p in (tmp_path / "pids").read_text().split()]
    assert len(alive(pids)) == 3
    watching = asyncio.create_task(parent.watch())
    await parent.stop()
    assert alive(pids) == []
    assert await watching == 0
    assert "did not end within" in said[0]
    await parent.stop()


async def test_a_second_stop_does_not_wait(tmp_path: Path) -> None:
    parent = parent_of([], STUBBORN, tmp_path / "pids", grace_s=30)
    await parent.start()
    first = asyncio.create_task(parent.stop())
    await asyncio.sleep(0)
    await asyncio.wait_for(parent.stop(at_once=True), 5)
    await asyncio.wait_for(first, 5)
    assert alive([int(p) for p in (tmp_path / "pids").read_text().split()]) == []


async def test_a_crash_is_mended(tmp_path: Path) -> None:
    said: list[str] = []
    parent = parent_of(said, CRASHING, tmp_path / "starts", 2, backoff_s=0.01)
    await parent.start()
    watching = asyncio.create_task(parent.watch())
    while len(said) < 4:
        await asyncio.sleep(0.02)
    await parent.stop()
    assert await watching == 0
    assert ["exit code 3" in words for words in said[::2]] == [True, True]
    assert all(words.startswith("ready again in") for words in said[1::2])


async def test_too_many_crashes_are_given_up(tmp_path: Path) -> None:
    said: list[str] = []
    parent = parent_of(said, CRASHING, tmp_path / "starts", 99, backoff_s=0.001, restarts=3)
    await parent.start()
    assert await parent.watch() == 1
    assert "3 restarts within 60 s did not help, giving up" in said[-1]
    assert (tmp_path / "starts").read_text() == "xxxx"


async def test_a_child_that_dies_before_it_is_ready_tells_its_last_words() -> None:
    with pytest.raises(ChildFailed, match=r"exit code 5(.|\n)*no such model"):
        await parent_of([], HOPELESS).start()


async def test_a_child_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="not ready within"):
        await parent_of([], "import time; time.sleep(600)", ready_s=0.3).start()


def test_a_killed_parent_takes_its_child_along(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(BONDED)
    code = f"""
import asyncio, os, sys
from runtime.cli.parent import Parent
async def main():
    parent = Parent([sys.executable, {str(script)!r}, {str(tmp_path / "pid")!r}], dict(os.environ), say=print)
    await parent.start()
    print("up", flush=True)
    await parent.watch()
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        parent.kill()
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 5
    while alive([pid]) and time.monotonic() < until:
        time.sleep(0.05)
    assert alive([pid]) == []


def test_serve_ends_everything_on_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "serve_app.py").write_text(STUBBORN.replace("sys.argv[1]", repr(str(tmp_path / "pids"))))
    code = """
import sys
from runtime.cli import parent, serve
serve.Limits = lambda: parent.Limits(grace_s=0.3)
from runtime.cli import main
sys.argv = ["headrace", "serve", "--port", str(serve.free_port()), "--data", sys.argv[1], "--model", "offline"]
main()
"""
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-c", code, str(tmp_path / "data")]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith("ready in"):
            break
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=10)[1]
    assert process.returncode == 0, said
    assert "no language model" in said
    assert "stopping" in said
    assert alive([int(p) for p in (tmp_path / "pids").read_text().split()]) == []
