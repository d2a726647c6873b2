"""What ``headrace doctor`` says about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""
    """What to do about it; empty when nothing is wrong."""
