"""How long an open stream may last: as long as its credential is good, and no longer than its time.

Both are looked at between batches, of which there is one at least with every heartbeat. A stream that may not go on ends as
one whose run has too many readers does: cleanly, with ``retry:``, so that its reader comes back and meets the gate.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from starlette.types import Scope

from runtime.clock import Clock
from runtime.errors import Busy
from runtime.events.envelope import Stored

RECHECK_S: Final = 45.0
"""Between two looks at a credential: with the longest silence between two batches (15 s) that is a minute."""
LIFETIME_S: Final = 3600.0
"""SECURITY.md 2.6; of streams in our own protocol, whose readers know how to come back."""

Batches = AsyncGenerator[list[Stored] | None, None]
Still = Callable[[Scope], Awaitable[bool]]
"""Whether the credential of a request would let it pass again."""


class Tenures:
    """For all streams of a door."""

    def __init__(self, still: Still, clock: Clock) -> None:
        self._still = still
        self._clock = clock

    async def bounded(self, batches: Batches, scope: Scope, lifetime_s: float | None) -> Batches:
        """``batches``, while the request's credential is good. Raises ``Busy`` when it is no more, or the time is over."""
        began = checked = self._clock.monotonic()
        async with aclosing(batches):
            async for batch in batches:
                now = self._clock.monotonic()
                if now - checked >= RECHECK_S:
                    if not await self._still(scope):
                        raise Busy("the credential of this stream is good no more")
                    checked = now
                yield batch
                if lifetime_s is not None and now - began >= lifetime_s:
                    raise Busy("this stream has lasted long enough")
