"""What all events share."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

Family = Literal["token", "object", "status", "error", "system"]

Status = Literal["accepted", "running", "waiting", "completed", "failed", "cancelled", "expired"]
"""Where a run stands."""

TERMINAL: frozenset[Status] = frozenset({"completed", "failed", "cancelled", "expired"})
"""The statuses a run ends with."""

SCHEMA_VERSION = 1
"""Raised when the meaning of an event changes; golden files in tests show every change in a diff."""


class EventData(BaseModel):
    """Base of all events: frozen, and closed to fields it does not name when we write it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    family: ClassVar[Family]
