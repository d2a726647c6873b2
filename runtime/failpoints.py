"""Failpoints: named places where a test may lose this process, stop it, fail it or hold it up (JOURNAL.md 3, rule 2).

Armed by the environment when the process starts, else nothing: ``hit`` then looks at one empty table and returns::

    HEADRACE_FAILPOINTS="turn.started=exit, tool.effect=stop@3, run.ending=sleep:0.5"
    HEADRACE_FAILPOINTS_DIR=/tmp/markers

``exit`` ends the process as SIGKILL would (no farewell, status 137), ``stop`` freezes it (SIGSTOP to itself), ``raise``
raises :class:`FailpointRaised`, ``sleep:SECONDS`` blocks the whole process. ``@N`` means the N-th hit in this process only;
without it, every hit. In ``HEADRACE_FAILPOINTS_DIR`` a point that fires leaves the file ``NAME.fired`` and never fires
again, in no process that shares the folder: so whoever is started in the place of the lost one survives.

A simulation has many "processes" in one interpreter; it installs a handler instead, which is told every hit.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.errors import ConfigurationError

POINTS: Final = {
    "accept.committed": "the run is durable, whoever asked has not been answered",
    "accept.replying": "the run is durable, its door has told neither an executor nor whoever asked",
    "claim.committed": "the executor owns the run in the log, and has not begun",
    "turn.started": "the announcement is durable, the model has not been asked",
    "turn.delta": "some tokens are handed over, more are to come",
    "turn.streamed": "the model has said everything, the turn is not completed",
    "tool.called": "the intent is durable, the tool has not run",
    "tool.effect": "the tool has run, its result is not written",
    "stage.completed": "the stage's outcome is durable, nothing has begun after it",
    "run.ending": "the run's last event is made and not yet written",
    "run.ended": "the run's last event is durable, and no door has been told",
    "run.shown": "the door holds the run's last event, and has not sent it",
}
"""Every point, and what is true there. The last is the second half of "after terminal commit, before the client's bytes"."""

EXIT_STATUS: Final = 137
"""128 + SIGKILL, as a shell reports it."""


class FailpointRaised(RuntimeError):
    """What ``raise`` raises: a defect nobody expects."""


@dataclass(slots=True)
class _Action:
    kind: str
    seconds: float = 0.0
    only: int | None = None
    """The one hit it fires at; None: at each."""
    marker: Path | None = None
    hits: int = 0

    def due(self) -> bool:
        """Count a hit; whether the action is to be done now. Leaves the marker."""
        self.hits += 1
        if self.only not in (None, self.hits):
            return False
        return self.marker is None or _leave(self.marker)


_armed: dict[str, Callable[[str], None]] = {}


def hit(name: str) -> None:
    """The process has come to ``name``, one of ``POINTS``."""
    if _armed and (act := _armed.get(name)) is not None:
        act(name)


def arm(environment: Mapping[str, str]) -> None:
    """Arm what ``HEADRACE_FAILPOINTS`` says, and nothing else. Raises :class:`ConfigurationError`."""
    folder = environment.get("HEADRACE_FAILPOINTS_DIR")
    items = [item.strip() for item in environment.get("HEADRACE_FAILPOINTS", "").split(",") if item.strip()]
    armed = dict(_parse(item, Path(folder) if folder else None) for item in items)
    _armed.clear()
    _armed.update({name: _doing(action) for name, action in armed.items()})


def install(handler: Callable[[str], None] | None) -> None:
    """Tell ``handler`` of every hit at every point instead; None: of nothing any more."""
    _armed.clear()
    if handler is not None:
        _armed.update(dict.fromkeys(POINTS, handler))


def _parse(item: str, folder: Path | None) -> tuple[str, _Action]:
    name, _, what = item.partition("=")
    if name not in POINTS:
        raise ConfigurationError(f"HEADRACE_FAILPOINTS: there is no point {name!r}; there are {', '.join(POINTS)}")
    action, at, count = what.partition("@")
    kind, _, argument = action.partition(":")
    try:
        seconds = float(argument) if kind == "sleep" else 0.0
        only = int(count) if at else None
        known = kind == "sleep" or (kind in ("exit", "stop", "raise") and not argument)
        if not known or (only is not None and only < 1):
            raise ValueError(what)
    except ValueError as error:
        words = "write exit, stop, raise or sleep:SECONDS, with @N for the N-th hit only"
        raise ConfigurationError(f"HEADRACE_FAILPOINTS: {item!r} cannot be used; {words}") from error
    return name, _Action(kind, seconds, only, None if folder is None else folder / f"{name}.fired")


def _doing(action: _Action) -> Callable[[str], None]:
    def act(name: str) -> None:
        if not action.due():
            return
        match action.kind:
            case "exit":
                os._exit(EXIT_STATUS)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "sleep":
                time.sleep(action.seconds)
            case _:
                raise FailpointRaised(f"the failpoint {name} was armed to raise")

    return act


def _leave(marker: Path) -> bool:
    """Make the marker; False when it is there already."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


arm(os.environ)
