"""What keeps a log that lost its end from being taken for what it was.

An event's cursor is ``<seq>.<epoch>``. When a disk or a standby had not kept the end of the log, new events take the
numbers of lost ones, and claims give out the epochs of lost claims again. So whenever that may have happened, and before
anything is written, the epochs of all unfinished runs jump: far enough to pass every epoch that a lost claim gave out, and
at random, so that two such ends of the log differ too, should the first be lost in its turn. The runs' owners go: their
writes are refused from then on, and whoever claims next goes on from what the log still has.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

Jump = Callable[[], int]
"""Gives what is added to the epochs; one call for all runs of a log."""

LEAST: Final = 1_000
"""More claims of one run than any loss takes away: each is a crash, a wait or a handing over."""

BELOW: Final = 1_000_000
"""An epoch has at most nine digits in a cursor (``runtime.generator.sse``): room for a thousand losses in a run's life."""

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Linux: another one each time the machine starts."""


def random_jump() -> int:
    """A jump for real logs."""
    return LEAST + secrets.randbelow(BELOW - LEAST)


def machine_boot_id(path: Path = BOOT_ID) -> str:
    """Which start of this machine it is; empty where the system does not say."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
