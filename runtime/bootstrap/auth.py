"""Who is let in, as the settings say: the authenticator of a door, its audit log, and where it keeps keys."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Route

from runtime.clock import Clock
from runtime.config import Settings
from runtime.errors import ConfigurationError
from runtime.generator.app import Resource
from runtime.generator.auth.audit import AuditLog
from runtime.generator.auth.by_key import KeyAuthenticator
from runtime.generator.auth.gate import Gate
from runtime.generator.auth.operator import OPERATOR, OperatorKey
from runtime.generator.keys import KeyRoutes
from runtime.generator.operations import by_path
from runtime.generator.principal import Authenticator, Fixed
from runtime.log.credentials import Credentials, Key, KeyReader


def build_authenticator(settings: Settings, reader: KeyReader, clock: Clock) -> Authenticator | None:
    """What ``settings.auth`` names; None in development mode. Raises :class:`ConfigurationError`."""
    if settings.auth == "none":
        return None
    operator = OperatorKey(settings.data_dir)
    if settings.auth == "keys":
        return KeyAuthenticator(reader, clock, operator)
    if settings.jwt is None:
        raise ConfigurationError("auth by tokens needs to know whose: set HEADRACE_JWT (issuer, audience, keys)")
    try:
        from runtime.generator.auth.by_token import Either, TokenAuthenticator, require_library
        from runtime.generator.auth.issuer import IssuerKeys
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f'auth by tokens needs {error.name}, which is not installed: pip install "headrace[jwt]"'
        ) from error
    require_library()
    tokens = TokenAuthenticator(settings.jwt, IssuerKeys(settings.jwt.keys, clock), clock)
    # With tokens alone no key of the store opens anything; the operator's still does, for `headrace keys`.
    keys = KeyAuthenticator(reader if settings.auth == "keys+jwt" else NoKeys(), clock, operator)
    return Either(keys, tokens)


def build_audit(settings: Settings) -> AuditLog:
    """The audit log that the settings name."""
    return AuditLog(settings.audit_path())


class NoKeys:
    """A reader of keys that finds none."""

    async def key(self, key_id: str) -> Key | None:
        return None

    async def keys(self, *, tenant_id: str | None, limit: int = 200) -> list[Key]:
        return []


class HubCredentials:
    """Keys of a door: read where it reads all else, written by the hub."""

    def __init__(self, reader: KeyReader, hub: Credentials) -> None:
        self.key = reader.key
        self.keys = reader.keys
        self.add_key = hub.add_key
        self.revoke_key = hub.revoke_key
        self.expire_key = hub.expire_key


def keys_app(credentials: Credentials, settings: Settings, clock: Clock) -> Starlette:
    """``/v1/keys`` alone, for the operator at the store; it listens nowhere."""
    gate = Gate(Fixed(OPERATOR), settings, clock, build_audit(settings))
    operations = KeyRoutes(credentials, clock, max_body_bytes=settings.max_body_bytes).operations()
    return Starlette(routes=[Route(path, Resource(methods, gate)) for path, methods in by_path(operations).items()])
