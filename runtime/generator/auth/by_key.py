"""``auth="keys"``: from an API key to its principal."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from starlette.datastructures import Headers

from runtime.clock import Clock
from runtime.generator.auth.bearer import bearer, unauthenticated
from runtime.generator.auth.operator import OperatorKey
from runtime.generator.outage import answered
from runtime.generator.principal import SCOPES, Principal
from runtime.log.credentials import Key, KeyReader, presented

REMEMBERED_S: Final = 3.0
"""How long a door goes by what it was told of a key: a revocation takes effect within 5 s (SECURITY.md 2.2)."""

REMEMBERED: Final = 10_000
"""Keys, and ids that are none; then the oldest are forgotten."""


class KeyAuthenticator:
    """See :class:`runtime.generator.principal.Authenticator`. ``operator``: the key that whoever runs the server has."""

    def __init__(self, reader: KeyReader, clock: Clock, operator: OperatorKey | None = None) -> None:
        self._reader = reader
        self._clock = clock
        self._operator = operator
        self._known: OrderedDict[str, tuple[Key | None, float]] = OrderedDict()

    async def __call__(self, headers: Headers) -> Principal:
        shown = presented(bearer(headers))
        if shown is None:
            raise unauthenticated()
        if self._operator is not None and shown.key_id == self._operator.key_id:
            if not await self._operator.fits(shown.secret):
                raise unauthenticated()
            return self._operator.principal
        key = await self._key(shown.key_id)
        if key is None or not key.fits(shown.secret) or not key.live(self._clock.now()):
            raise unauthenticated()
        scopes = frozenset(scope for scope in SCOPES if scope in key.scopes)
        return Principal(key.tenant_id, key.name, scopes, frozenset(key.roles), key.key_id, key.expires_at)

    async def _key(self, key_id: str) -> Key | None:
        now = self._clock.monotonic()
        known = self._known.get(key_id)
        if known is not None and now - known[1] < REMEMBERED_S:
            return known[0]
        key = await answered(self._reader.key(key_id))
        self._known[key_id] = (key, now)  # since when it was asked, not answered: what it says may be as old as that
        self._known.move_to_end(key_id)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return key
