"""A log in memory that can lose its end, as a standby does that lagged when it takes over."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from runtime.log.log import TERMINAL
from runtime.log.memory import MemoryLog
from runtime.log.reset import LEAST


class ForgetfulLog(MemoryLog):
    """``keep`` what there is; ``lose`` all that came after, with the jump that real stores make then."""

    _kept: dict[str, Any]

    def keep(self) -> None:
        self._kept = deepcopy({name: getattr(self, name) for name in ("_runs", "_events", "_publishers", "_days")})

    def lose(self) -> None:
        for name, kept in deepcopy(self._kept).items():
            setattr(self, name, kept)
        for run_id, run in self._runs.items():
            if run.status not in TERMINAL:
                self._runs[run_id] = replace(run, epoch=run.epoch + LEAST, owner=None)
