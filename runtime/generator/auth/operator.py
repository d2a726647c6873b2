"""The operator's key: whoever can read the server's data directory may make and end keys of every tenant.

``headrace serve`` writes a new one to ``operator.json`` at each start, beside the address it answers at, and takes the file
away at its end; ``headrace keys`` finds it there, since nobody but the hub's process writes to a SQLite file. It opens
the keys and the statistics of all tenants; no run, no conversation.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from runtime.generator.principal import Principal
from runtime.log.credentials import RandomBytes, new_secret, presented

KEY_ID: Final = "operator"
FILE: Final = "operator.json"

NOBODY: Final = "*"
"""A tenant's name that no tenant can have: the operator has no runs, and sees nobody's."""

OPERATOR: Final = Principal(NOBODY, "operator", frozenset({"admin", "runs:read"}), credential=KEY_ID, operator=True)


class Operator(NamedTuple):
    """What the file says."""

    url: str
    key: str


def write(data_dir: Path, url: str, random: RandomBytes) -> None:
    """Make a new key, readable by the owner of the directory alone."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / FILE
    path.unlink(missing_ok=True)  # one of another mode would keep its mode
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(orjson.dumps({"url": url, "key": f"hr_{KEY_ID}.{new_secret(random)}"}))


def remove(data_dir: Path) -> None:
    """The server has ended."""
    (data_dir / FILE).unlink(missing_ok=True)


def read(data_dir: Path) -> Operator | None:
    """The key of the server that runs over this directory; None when there is none."""
    try:
        found = orjson.loads((data_dir / FILE).read_bytes())
        return Operator(str(found["url"]), str(found["key"]))
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None


class OperatorKey:
    """What a door holds a presented operator's key against: the file as it is now."""

    key_id: Final = KEY_ID
    principal: Final = OPERATOR

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    async def fits(self, secret: str) -> bool:
        """Whether it is the present one's secret."""
        found = await asyncio.to_thread(read, self._data_dir)
        kept = presented(found.key) if found is not None else None
        return kept is not None and hmac.compare_digest(kept.secret.encode(), secret.encode())
