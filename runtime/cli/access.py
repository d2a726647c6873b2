"""What ``headrace doctor`` says of authentication: is anybody let in, and are the issuer's keys to be had?"""

from __future__ import annotations

import asyncio
import importlib.util

from runtime.cli.check import Check
from runtime.clock import SystemClock
from runtime.config import Settings
from runtime.errors import HeadraceError
from runtime.log.credentials import Key


def examine_access(settings: Settings) -> Check:
    """Who is let in, as far as it can be seen from here."""
    if settings.auth == "none":
        return Check("auth", "ok", f"none: whoever is on this machine, at {settings.host}")
    try:
        found = [asyncio.run(look(settings)) for way, look in _LOOKS.items() if way in settings.auth]
    except HeadraceError as error:
        return Check("auth", "fail", f"{settings.auth}: {error.message}", "mend what it names, then try again")
    worst = max(found, key=lambda check: ("ok", "warn", "fail").index(check.status))
    return Check("auth", worst.status, "; ".join(check.found for check in found), worst.mend)


async def _keys(settings: Settings) -> Check:
    """Whether anybody has a key."""
    from runtime.bootstrap.store import build_key_reader  # here: it imports every adapter, unlike --help

    reader = build_key_reader(settings)
    if reader is None:
        return Check("auth", "warn", "keys in memory: are gone with the server", "name a store with --log")
    try:
        kept: list[Key] = await reader.keys(tenant_id=None)
    finally:
        await reader.close()
    now = SystemClock().now()
    live = sum(key.live(now) for key in kept)
    if not live:
        return Check("auth", "warn", "keys: nobody has one that is live", "headrace keys create --name NAME")
    return Check("auth", "ok", f"keys: {live} of {len(kept)} are live")


async def _tokens(settings: Settings) -> Check:
    """Whether tokens could be checked."""
    if importlib.util.find_spec("jwt") is None or importlib.util.find_spec("cryptography") is None:
        return Check("auth", "fail", "tokens: PyJWT is not installed", 'pip install "headrace[jwt]"')
    from runtime.generator.auth.issuer import IssuerKeys

    assert settings.jwt is not None  # Settings has seen to it
    try:
        count = await IssuerKeys(settings.jwt.keys, SystemClock()).count()
    except HeadraceError as error:
        return Check("auth", "fail", f"tokens: {error.message}", f"look at {settings.jwt.keys}")
    return Check("auth", "ok", f"tokens of {settings.jwt.issuer}: {count} keys")


_LOOKS = {"keys": _keys, "jwt": _tokens}
