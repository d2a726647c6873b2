"""The machine a number was measured on: no number is kept without it."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil


def describe() -> dict[str, Any]:
    """Cores, processor, memory, versions, and the load average at this moment."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "ray": version("ray"),
        "headrace": version("headrace"),
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
    }


def sentence(machine: dict[str, Any]) -> str:
    """The same in one line."""
    load = ", ".join(str(value) for value in machine["load_average_before"])
    return (
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB, Python {machine['python']}, "
        f"Ray {machine['ray']}, Headrace {machine['headrace']}; load average before: {load}; {machine['date']}"
    )


def busy(machine: dict[str, Any]) -> bool:
    """Whether others were using the machine when the run began: its numbers are then not to be trusted."""
    return bool(machine["load_average_before"][0] > 0.5)


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or "unknown"
