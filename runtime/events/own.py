"""An event type of a user's own: what travels as ``custom``, with a model for its value.

::

    class Progress(OwnEvent, name="progress"):
        done: int
        of: int

    Progress(done=1, of=3).tell(context.emit)      # in a tool
    Progress.read(event)                           # whoever reads: a Progress, or None for any other event
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from runtime.events.catalog import Custom, Event


class OwnEvent(BaseModel):
    """Base of users' event types; frozen, and open to fields that a newer version adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    event_name: ClassVar[str] = ""

    def __init_subclass__(cls, *, name: str = "", **options: Any) -> None:  # Any: pydantic's own options
        """``name`` is the event's, and names one type in all of a system's modules."""
        super().__init_subclass__(**options)
        cls.event_name = name or cls.event_name
        if not cls.event_name:
            raise TypeError(f"{cls.__name__} needs a name: class {cls.__name__}(OwnEvent, name='...')")

    def tell(self, emit: Callable[[str, Any], None]) -> None:
        """Put it into the run's stream; ``emit`` is a tool's ``context.emit``."""
        emit(self.event_name, self.model_dump(mode="json"))

    @classmethod
    def read(cls, event: Event) -> Self | None:
        """It, if ``event`` is one; None for any other. Raises ``ValueError`` when its value does not fit."""
        if isinstance(event, Custom) and event.name == cls.event_name:
            return cls.model_validate(event.value)
        return None
