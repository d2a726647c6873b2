"""Find and end every process a child brought into the world, whatever sessions and parents they have by now.

Ray's processes leave their parent (they are re-parented when it dies) and some open sessions of their own. Three nets
catch them: descent, the child's session, and a mark in the environment that every descendant inherits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import psutil

MARK = "HEADRACE_FAMILY"
"""Environment variable that names the family a process belongs to."""
KILL_ROUNDS = 5
"""A killed process may have just started another: look again, this often at most."""


def family(child: int, mark: str) -> list[psutil.Process]:
    """The living processes of ``child``'s family, itself included; never the caller or its ancestors."""
    mine = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    found = {p.pid: p for p in [*_descendants(child), *_marked_or_in_session(child, mark)]}
    return [p for p in found.values() if p.pid not in mine and _lives(p)]


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL to each; one that is gone already, or whose number is another's by now, is left alone."""
    for process in processes:
        try:
            process.kill()  # psutil compares creation times: a reused pid is not hit
        except psutil.NoSuchProcess:
            continue


def kill_family(child: int, mark: str) -> list[int]:
    """Kill all of it until nothing is left; the pids of what could not be ended (empty when all is well)."""
    for _ in range(KILL_ROUNDS):
        members = family(child, mark)
        if not members:
            return []
        kill(members)
        _wait_until_gone(members, 1.0)
    return [p.pid for p in family(child, mark)]


def _wait_until_gone(processes: list[psutil.Process], timeout_s: float) -> None:
    # Not psutil.wait_procs: it would take the child's exit status away from asyncio, which waits for it as well.
    until = time.monotonic() + timeout_s
    while any(_lives(p) for p in processes) and time.monotonic() < until:
        time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _descendants(child: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(child)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _marked_or_in_session(child: int, mark: str) -> list[psutil.Process]:
    members: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == child or process.environ().get(MARK) == mark:
                members.append(process)
        except (psutil.Error, ProcessLookupError, PermissionError, FileNotFoundError):
            continue  # gone meanwhile, or another user's and so none of ours
    return members
