"""What hooks emit while they decide: gathered, and written together with the decision."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from runtime.events.catalog import Custom

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)  # Any: what a user's hook says


class Emitted:
    """Events of hooks that are not written yet."""

    def __init__(self) -> None:
        self._events: list[Custom] = []

    def emit(self, name: str, value: Any) -> None:
        """Gather one. Raises ``ValueError`` for a value that JSON cannot hold."""
        self._events.append(Custom(name=name, value=_ANYTHING.dump_python(value, mode="json")))

    def take(self) -> list[Custom]:
        """All that were gathered; whoever takes them writes them."""
        taken, self._events = self._events, []
        return taken
