"""The connection to Ray, apart from everything that stands on it: starting Ray takes seconds in which the rest is imported."""

from __future__ import annotations

import os
from typing import Any

import ray

from actors.placement import NAMESPACE

OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""Ray's smallest store is 75 MiB; nothing of ours lives in it: events stay below its 100 KB threshold."""


def connect() -> None:
    """Join the cluster that ``RAY_ADDRESS`` names, or start one of this process's own."""
    address = os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {}
    if address == "local":
        own = {"num_cpus": os.cpu_count(), "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, **own)
