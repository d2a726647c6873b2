"""Who asks: the principal of a request, what it may do, and the gate that every operation passes.

Permission is the credential, every time: never a cursor, an id or a connection (SECURITY.md 2.2). Default deny: an operation
declares the scope it needs, or that it is ``public``; there is no third way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from starlette.datastructures import Headers
from starlette.requests import Request

from runtime.generator.problems import Refusal

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

    def may(self, access: Access) -> bool:
        """Whether it may do what asks for ``access``."""
        return access == "public" or access in self.scopes


class Authenticator(Protocol):
    """From a request's headers to its principal."""

    async def __call__(self, headers: Headers) -> Principal:
        """Who asks. Raises ``Refusal`` 401 (``unauthenticated``) or 429, ``StoreUnavailable``."""
        ...


class Development:
    """``auth="none"``: everybody on this machine is the developer, who may do all. Settings binds it to loopback."""

    def __init__(self, roles: frozenset[str]) -> None:
        self._developer = Principal(DEFAULT_TENANT, "developer", SCOPES, roles)

    async def __call__(self, headers: Headers) -> Principal:
        return self._developer


def principal_of(request: Request) -> Principal:
    """The principal of a request that has passed ``admit_to``."""
    principal: Principal = request.state.principal
    return principal


async def admit_to(request: Request, access: Access, authenticate: Authenticator) -> None:
    """Find out who asks and whether they may. Raises ``Refusal`` 401 or 403."""
    if access == "public":
        return
    principal = await authenticate(request.headers)
    if not principal.may(access):
        raise Refusal(403, "forbidden", f"This needs the scope {access!r}, which your credential does not have.")
    request.state.principal = principal
