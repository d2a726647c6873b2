"""What Ray must find in the environment. Imports nothing of Ray, which reads most of it while it is imported."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from runtime.telemetry import logger

_log = logger("environment")

FRONT = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
"""Where Serve's proxy finds what it is to run at its start (``proxy``)."""

DEFAULTS = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    FRONT: "actors.proxy.front",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
}
"""RAY.md 10. Whatever is set already stays."""


def prepare(data_dir: Path) -> None:
    """Fill in what is missing of this process's environment, with a cluster token of its own.

    Ray makes no token when the mode is set, and a world-readable one when it is not.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if os.environ["RAY_AUTH_MODE"] != "token" or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / "ray_token"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)


def warn_of_missing_front() -> None:
    """Say so when Serve, started by somebody else, was likely not told of our front."""
    if os.environ.get(FRONT) != DEFAULTS[FRONT]:
        words = (
            "connections have no deadlines, and clients may steer Serve's proxy: set %s=%s wherever Serve is started"
        )
        _log.warning(words, FRONT, DEFAULTS[FRONT])
