"""The credential in a request's headers, and the one answer to every bad one."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers

from runtime.generator.problems import Refusal

MAX_CREDENTIAL: Final = 8192
"""Characters; longer ones are not looked at."""


def unauthenticated(*, given: bool = True) -> Refusal:
    """401, the same for every reason; ``given``: there was a credential (RFC 6750, 3)."""
    detail = "This needs a key or a token, valid and not expired: 'Authorization: Bearer ...'."
    challenge = 'Bearer error="invalid_token"' if given else "Bearer"
    return Refusal(401, "unauthenticated", detail, headers={"WWW-Authenticate": challenge})


def bearer(headers: Headers) -> str:
    """The credential. Raises ``Refusal`` 401: it is given once, in this header and nowhere else."""
    values = headers.getlist("authorization")
    if not values:
        raise unauthenticated(given=False)
    scheme, _, credential = values[0].partition(" ")
    fits = 1 <= len(credential) <= MAX_CREDENTIAL and credential.isascii() and credential.isprintable()
    if len(values) > 1 or scheme.lower() != "bearer" or not fits or " " in credential:
        raise unauthenticated()
    return credential
