"""Who asks: the principal of a request, and what it may do. ``auth.gate`` finds it.

Permission is the credential, every time: never a cursor, an id or a connection (SECURITY.md 2.2). Default deny: an operation
declares the scope it needs, or that it is ``public``; there is no third way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from starlette.datastructures import Headers
from starlette.requests import Request

Scope = Literal["runs:read", "runs:write", "runs:cancel", "admin"]
Access = Scope | Literal["public"]
"""What an operation asks for; ``public`` is open to everyone, and must tell nobody's secrets."""

SCOPES: Final[frozenset[Scope]] = frozenset({"runs:read", "runs:write", "runs:cancel", "admin"})
DEFAULT_TENANT: Final = "default"
"""Whose the runs are where nobody has to say who they are: development mode, and the command line beside the store."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a credential speaks for."""

    tenant_id: str
    """Whose runs these are; no request sees another's."""
    subject: str
    """The user, or the name of the key; for the audit log."""
    scopes: frozenset[Scope]
    roles: frozenset[str] = frozenset()
    """Which of the tools' calls it is shown, see ``runtime.stream.view``."""
    credential: str = ""
    """The id of the key or of the token; what streams and rates are counted by. Never a secret."""
    expires_at: float | None = None
    """Seconds since 1970; the credential is worth nothing afterwards. None: it does not expire."""
    operator: bool = False
    """Runs the server: with the scope ``admin`` it manages the keys of every tenant, not only of its own."""

    def may(self, access: Access) -> bool:
        """Whether it may do what asks for ``access``."""
        return access == "public" or access in self.scopes


class Authenticator(Protocol):
    """From a request's headers to its principal."""

    async def __call__(self, headers: Headers) -> Principal:
        """Who asks. Raises ``Refusal`` 401 (``unauthenticated``) or 429, ``StoreUnavailable``."""
        ...


class Fixed:
    """Everybody is one and the same, whatever they present: for doors that nobody else can come to."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    async def __call__(self, headers: Headers) -> Principal:
        return self._principal


class Development(Fixed):
    """``auth="none"``: everybody on this machine is the developer, who may do all. Settings binds it to loopback."""

    def __init__(self, roles: frozenset[str]) -> None:
        super().__init__(Principal(DEFAULT_TENANT, "user", SCOPES, roles, operator=True))


def principal_of(request: Request) -> Principal:
    """The principal of a request that has passed the gate."""
    principal: Principal = request.state.principal
    return principal
