"""``dataclasses.replace`` for the states that every event makes anew, six times as fast (26 fields: 4 against 27 us here)."""

from __future__ import annotations

from typing import Any, TypeVar

State = TypeVar("State")


def evolve(state: State, **changes: Any) -> State:
    """A copy of a frozen dataclass without slots or ``__post_init__``, with other values in the fields that are named.

    Any: what ``changes`` may hold is the fields' own; ``tests/events/test_evolve.py`` holds every use to their names.
    """
    copy = object.__new__(type(state))
    copy.__dict__.update(state.__dict__, **changes)
    return copy
