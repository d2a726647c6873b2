"""The gate that every request passes: who asks, whether they may, and whether not too often.

A good credential always passes, also from an address that has failed too often: otherwise whoever shares an address with
others, behind a proxy, could lock them out.
"""

from __future__ import annotations

from typing import Final, NoReturn

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from runtime.clock import Clock
from runtime.config import Settings
from runtime.errors import Busy, StoreUnavailable
from runtime.generator.auth.audit import AuditLog
from runtime.generator.auth.failures import Failures, Peers
from runtime.generator.auth.rates import Rates
from runtime.generator.edge import request_id_of
from runtime.generator.operations import Operation
from runtime.generator.principal import Authenticator, Principal
from runtime.generator.problems import Refusal, retry_after

CHANGES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""Methods that the audit log tells of; the others change nothing."""


class Gate:
    """See the module."""

    def __init__(self, authenticate: Authenticator, settings: Settings, clock: Clock, audit: AuditLog) -> None:
        self._authenticate = authenticate
        self._settings = settings
        self._clock = clock
        self._audit = audit
        self._failures = Failures(settings.max_failures_per_minute)
        self._peers = Peers(settings.trusted_proxies)
        self._rates = Rates()

    async def admit(self, request: Request, operation: Operation) -> None:
        """Let the request pass, as ``principal_of`` says who. Raises ``Refusal`` 401, 403, 429, ``OverQuota``, ``StoreUnavailable``."""
        if operation.access == "public":
            return
        try:
            principal = await self._authenticate(request.headers)
        except Refusal as refusal:
            self._failed(request, operation, refusal)
        request.state.principal = principal
        request.state.operation = operation
        if not principal.may(operation.access):
            words = f"This needs the scope {operation.access!r}, which your credential does not have."
            raise Refusal(403, "forbidden", words)
        self._rates.take(principal.tenant_id, self._settings.limits_of(principal.tenant_id), self._clock.monotonic())

    async def still(self, scope: Scope) -> bool:
        """Whether the credential of a request that has passed would let it pass again; True while nobody can say."""
        principal: Principal = scope["state"]["principal"]
        operation: Operation = scope["state"]["operation"]
        try:
            now = await self._authenticate(Headers(scope=scope))
        except Refusal:
            return False
        except (StoreUnavailable, Busy):
            return principal.expires_at is None or self._clock.now() < principal.expires_at
        return now.tenant_id == principal.tenant_id and now.roles == principal.roles and now.may(operation.access)

    def told(self, request: Request, operation: Operation, status: int, run_id: str | None) -> None:
        """Into the audit log, if the operation changes something."""
        principal: Principal | None = getattr(request.state, "principal", None)
        if operation.method not in CHANGES or principal is None:
            return
        about = {name: str(value) for name, value in request.path_params.items()}
        about |= getattr(request.state, "about", {})
        self._tell(request, operation, status, principal, about | ({"run_id": run_id} if run_id else {}))

    def _failed(self, request: Request, operation: Operation, refusal: Refusal) -> NoReturn:
        wait_s = self._failures.add(self._peers.of(request), self._clock.monotonic())
        if wait_s is not None:
            words = "Too many credentials from this address were refused; wait."
            refusal = Refusal(429, "too_many_failures", words, headers=retry_after(wait_s))
        self._tell(request, operation, refusal.status, None, {})
        raise refusal

    def _tell(
        self, request: Request, operation: Operation, status: int, principal: Principal | None, about: dict[str, str]
    ) -> None:
        at, peer, request_id = self._clock.now(), self._peers.of(request), request_id_of(request.scope)
        self._audit.tell(
            operation.name, status, at=at, peer=peer, request_id=request_id, principal=principal, about=about
        )
