"""The door to production: Headrace as a Ray Serve application.

``python -m serve_app`` (what ``headrace serve`` runs) starts Ray, the actors and Serve, prints ``READY http://host:port`` and stays until
SIGTERM. On a cluster that runs already, ``serve run serve_app:build`` deploys the same; its settings come from the arguments
(``serve run serve_app:build model=offline``) and from ``HEADRACE_*`` in the environment.

Ray is imported inside the functions: it reads its environment while it is imported, and that must be prepared first.
Everything that stands on it is imported while Ray starts: both take seconds, and there are two cores.
"""

import importlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from actors.environment import prepare, warn_of_missing_front
from runtime.cli.parent import die_with_parent
from runtime.config import from_json, load
from runtime.secret_values import redactor_of
from runtime.telemetry import guard

if TYPE_CHECKING:
    from ray.serve import Application

SETTINGS = "HEADRACE_SETTINGS_JSON"
"""Where ``headrace serve`` leaves the settings; secrets travel beside it."""


def build(args: dict[str, Any]) -> "Application":
    """The Serve application for a cluster that runs already; starts the actors that are missing."""
    import ray

    from actors.event_generator import application
    from actors.supervisor import make_supervisor, start_actors

    settings = load(**args)
    warn_of_missing_front()
    ray.get(start_actors(make_supervisor(settings)))
    return application(settings)


def main() -> int:
    """Serve from a cluster of this process's own until signalled; the exit code."""
    die_with_parent()
    settings = from_json(os.environ[SETTINGS]) if SETTINGS in os.environ else load()
    guard(redactor_of(settings).text)
    prepare(settings.data_dir)
    with ThreadPoolExecutor(max_workers=1) as pool:
        imported = pool.submit(importlib.import_module, "actors.cluster")
        importlib.import_module("actors.connection").connect()
        cluster = imported.result()
    return int(cluster.run(settings))


if __name__ == "__main__":
    raise SystemExit(main())
