"""The audit log: who did what, as one line of JSON each, from the logger ``headrace.audit`` and in a file.

Never in it: credentials, questions, answers, what people say. An operation that changes something is told with its outcome;
so is every credential that was refused.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from runtime.generator.principal import Principal
from runtime.telemetry import logger

MOST: Final = 200
"""Characters of one value: ids in a path are whatever somebody wrote there."""

audit_logger: Final = logger("audit")


class AuditLog:
    """Writes lines; ``path`` None: to the logger alone. Several processes may write to one file."""

    def __init__(self, path: Path | None = None) -> None:
        self._logger = logging.Logger(
            audit_logger.name, logging.INFO
        )  # of its own: two logs in one process have two files
        self._logger.parent = audit_logger
        if path is not None:
            self._logger.addHandler(_file(path))

    def close(self) -> None:
        """Let go of the file."""
        for handler in list(self._logger.handlers):
            self._logger.removeHandler(handler)
            handler.close()

    def tell(
        self, action: str, status: int, *, at: float, peer: str, request_id: str,
        principal: Principal | None = None, about: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """One line: the operation, the HTTP status it was answered with, who asked, from where, and about what."""
        line: dict[str, object] = {"at": round(at, 3), "action": action, "status": status}
        if principal is not None:
            line |= {"tenant": principal.tenant_id, "subject": principal.subject, "credential": principal.credential}
        line |= {"peer": peer, "request_id": request_id}
        line |= {name: value[:MOST] for name, value in (about or {}).items()}
        self._logger.info("%s", orjson.dumps(line).decode())


def _file(path: Path) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    handler = logging.handlers.WatchedFileHandler(path, encoding="utf-8")  # a file that was moved away is made anew
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler
