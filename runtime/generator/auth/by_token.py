"""``auth="jwt"``: from a JSON Web Token to its principal.

PyJWT checks form, signature, issuer and audience; the times are checked here, against the clock that everything else goes
by. The algorithm is one of the configured ones, all of them asymmetric, and must be the key's own; where the keys are is
configured, and what a token says about it (``jku``, ``x5u``, ``jwk``, ``x5c``) is not read.
"""

from __future__ import annotations

import math
from typing import Any, Final, cast

import jwt
from starlette.datastructures import Headers

from runtime.clock import Clock
from runtime.errors import ConfigurationError
from runtime.generator.auth.bearer import bearer, unauthenticated
from runtime.generator.auth.issuer import IssuerKeys
from runtime.generator.principal import SCOPES, Authenticator, Principal
from runtime.ids import IDENTIFIER
from runtime.tenancy import TENANT, TokenRules

MAX_SUBJECT: Final = 200
MAX_ROLES: Final = 64

_OPTIONS: Final[dict[str, Any]] = {
    "require": ["exp", "iss", "aud"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "enforce_minimum_key_length": True,
}
"""The times are checked by ``_valid_until``."""


class TokenAuthenticator:
    """See :class:`runtime.generator.principal.Authenticator`."""

    def __init__(self, rules: TokenRules, keys: IssuerKeys, clock: Clock) -> None:
        self._rules = rules
        self._keys = keys
        self._clock = clock

    async def __call__(self, headers: Headers) -> Principal:
        token = bearer(headers)
        try:
            claims = await self._verified(token)
        except (jwt.PyJWTError, ValueError) as error:
            raise unauthenticated() from error
        return self._principal(claims, self._valid_until(claims))

    async def _verified(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in self._rules.algorithms:
            raise jwt.InvalidAlgorithmError("not one of the configured algorithms")
        key = await self._keys.key(header.get("kid"), cast(str, algorithm))
        if key is None:
            raise jwt.InvalidKeyError("no such key")
        rules = self._rules
        options = cast(Any, _OPTIONS)  # Any: PyJWT's own name for the dictionary's type is private
        return jwt.decode(
            token, key, algorithms=rules.algorithms, issuer=rules.issuer, audience=rules.audience, options=options
        )

    def _valid_until(self, claims: dict[str, Any]) -> float:
        """When the token ends. Raises ``Refusal`` 401 when it has, or has not begun."""
        now, leeway = self._clock.now(), self._rules.leeway_s
        ends = _moment(claims["exp"])
        if now >= ends + leeway:
            raise unauthenticated()
        for name in ("nbf", "iat"):
            if name in claims and _moment(claims[name]) > now + leeway:
                raise unauthenticated()
        return ends + leeway

    def _principal(self, claims: dict[str, Any], ends: float) -> Principal:
        rules = self._rules
        tenant, subject = claims.get(rules.tenant_claim), claims.get(rules.subject_claim)
        if not isinstance(tenant, str) or not TENANT.match(tenant):
            raise unauthenticated()
        if not isinstance(subject, str) or not subject.isprintable() or not 1 <= len(subject) <= MAX_SUBJECT:
            raise unauthenticated()
        words = _words(claims.get(rules.scope_claim))
        scopes = frozenset(scope for scope in SCOPES if scope in words)
        roles = sorted(role for role in _words(claims.get(rules.roles_claim)) if IDENTIFIER.match(role))
        return Principal(tenant, subject, scopes, frozenset(roles[:MAX_ROLES]), f"jwt:{tenant}:{subject}", ends)


class Either:
    """``auth="keys+jwt"``: what begins as our keys do is one, the rest are tokens."""

    def __init__(self, keys: Authenticator, tokens: Authenticator) -> None:
        self._keys = keys
        self._tokens = tokens

    async def __call__(self, headers: Headers) -> Principal:
        which = self._keys if bearer(headers).startswith("hr_") else self._tokens
        return await which(headers)


def require_library() -> None:
    """Raises ``ConfigurationError`` where PyJWT lacks what asymmetric signatures need."""
    if not jwt.algorithms.has_crypto:
        raise ConfigurationError('auth by tokens needs cryptography: pip install "headrace[jwt]"')


def _moment(value: object) -> float:
    """A time in a claim. Raises ``Refusal`` 401 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise unauthenticated()
    return float(value)


def _words(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()
