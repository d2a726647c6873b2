"""Identifiers. Randomness is passed in, so that a test's ids are its own."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Callable

IdSource = Callable[[], str]
"""Gives a new identifier of 122 random bits or more each time it is called."""

IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
"""What names of agents, tools, conversations and todos look like (SECURITY.md 1)."""


def new_id() -> str:
    """A random UUID (version 4), as text."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def is_run_id(text: str) -> bool:
    """True for a lower-case UUID in its usual form, the only shape a run id has."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
