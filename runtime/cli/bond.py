"""What ties a child to its parent: when that is gone, even by SIGKILL, the child ends itself and all it started."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PARENT = "HEADRACE_PARENT_PID"
"""Environment variable with the pid of the parent a child must not outlive."""
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.5
_GRACE_S = 8.0


def die_with_parent() -> None:
    """Call first thing in a child. Does nothing in a process that no Headrace parent started.

    The kernel sends SIGTERM when the parent dies (Linux); a thread sees to it elsewhere, and kills the whole family
    when the orderly end takes longer than the grace time. Raises ``OSError`` when the kernel refuses.
    """
    named = os.environ.pop(PARENT, "")  # not for the child's own children: their parent is another
    if not named.isdigit():
        return
    parent = int(named)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    threading.Thread(target=_outlive_nobody, args=(parent,), name="headrace-bond", daemon=True).start()


def _outlive_nobody(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    from runtime.cli.reap import MARK, family, kill  # here: psutil takes its time, and the child is starting

    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    kill(family(os.getpid(), os.environ.get(MARK, "")))
    os.kill(os.getpid(), signal.SIGKILL)
