"""The Python client: ask over HTTP, read a run's events live, and go on exactly where a broken connection left off.

Rules: ``events``, ``sse``, ``cursor``, ``errors``, ``reconnect`` and the fold (``fold``, ``lanes``, ``view``, ``picture``)
never touch a socket; ``reader``, ``calls``, ``client`` and ``sync`` are the thin shells around them. Types this version does
not know are passed on as they are, never an error.
"""

from runtime.client.client import HeadraceClient
from runtime.client.errors import ApiError, Unreachable
from runtime.client.events import RunEvent, UnknownData, parse_event
from runtime.client.fold import reduce
from runtime.client.pages import EventPage
from runtime.client.sync import HeadraceSyncClient
from runtime.client.view import RunView

__all__ = [
    "ApiError",
    "EventPage",
    "HeadraceClient",
    "HeadraceSyncClient",
    "RunEvent",
    "RunView",
    "UnknownData",
    "Unreachable",
    "parse_event",
    "reduce",
]
