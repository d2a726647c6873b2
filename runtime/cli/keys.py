"""``headrace keys``: list, make, end and replace API keys.

Asked is the server at ``--url``, with an administrator's key; else the one that runs over the data directory, with the
operator's key that it keeps there; else the store itself. All three are the same ``/v1/keys``.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.cli.screens import stderr_line, stdout_line
from runtime.cli.terminal import one_line
from runtime.client.calls import API_KEY_VARIABLE as KEY
from runtime.client.client import is_loopback
from runtime.client.errors import Unreachable, refused
from runtime.client.reader import nothing_there
from runtime.clock import SystemClock
from runtime.config import Settings
from runtime.errors import ConfigurationError
from runtime.generator.auth import operator

TIMEOUT_S = 10.0

Json = dict[str, Any]
"""The server's JSON."""


class KeyDesk:
    """Where keys are made and ended. Raises HeadraceError."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """The answer to one call; empty for one without a body."""
        try:
            response = await self._http.request(method, path, json=body)
        except httpx2.ConnectError as error:
            raise nothing_there(str(self._http.base_url)) from error
        except httpx2.TransportError as error:
            raise Unreachable(f"{self._http.base_url} did not answer: {error!r}") from error
        if not response.is_success:
            raise refused(response.status_code, response.headers, response.content)
        answer: Json = response.json() if response.content else {}
        return answer


@asynccontextmanager
async def desk(settings: Settings, url: str | None) -> AsyncIterator[KeyDesk]:
    """The desk to ask; see the module. Raises ``ConfigurationError``, ``StoreLocked``, ``StoreUnavailable``."""
    if url is not None:
        async with _at(url, os.environ.get(KEY, "")) as http:
            yield KeyDesk(http)
        return
    running = operator.read(settings.data_dir)
    if running is not None and await _answers(running.url):
        async with _at(running.url, running.key) as http:
            yield KeyDesk(http)
        return
    if settings.log_url().startswith("memory:"):
        raise ConfigurationError("no server runs over this data directory, and memory: keeps no keys; name a store")
    async with _at_the_store(settings) as http:
        yield KeyDesk(http)


def _at(url: str, key: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=not is_loopback(url))


async def _answers(url: str) -> bool:
    """Whether that server is there; a killed one has left its file."""
    try:
        async with _at(url, "") as http:
            return (await http.get("/healthz")).status_code == 200
    except httpx2.TransportError:
        return False


@asynccontextmanager
async def _at_the_store(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    from runtime.bootstrap.auth import keys_app  # here: they import every adapter, which --help must not pay for
    from runtime.bootstrap.store import build_log

    store = build_log(settings, SystemClock())
    await store.open()
    try:
        transport = httpx2.ASGITransport(app=keys_app(store, settings, SystemClock()))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            yield http
    finally:
        await store.close()


async def create(settings: Settings, body: Json, *, url: str | None, json: bool) -> int:
    """Make a key and print it, this once. Raises HeadraceError."""
    async with desk(settings, url) as keys:
        made = await keys.ask("POST", "/v1/keys", {name: value for name, value in body.items() if value is not None})
    return _told(made, json)


async def rotate(settings: Settings, key_id: str, *, keep_s: float, url: str | None, json: bool) -> int:
    """Make a key like that one, which ends ``keep_s`` seconds from now. Raises HeadraceError."""
    async with desk(settings, url) as keys:
        made = await keys.ask("POST", f"/v1/keys/{_id(key_id)}/rotate", {"keep_s": keep_s})
    return _told(made, json)


async def revoke(settings: Settings, key_id: str, *, url: str | None) -> int:
    """End a key. Raises HeadraceError."""
    async with desk(settings, url) as keys:
        await keys.ask("DELETE", f"/v1/keys/{_id(key_id)}")
    stdout_line(f"revoked {_id(key_id)}; servers refuse it within 5 seconds, and end its streams within a minute")
    return 0


async def listed(settings: Settings, *, url: str | None, json: bool) -> int:
    """Print the keys. Raises HeadraceError."""
    async with desk(settings, url) as keys:
        found = (await keys.ask("GET", "/v1/keys"))["keys"]
    if json:
        stdout_line(orjson.dumps(found).decode())
    elif found:
        Console().print(table(found, time.time()))
    else:
        stdout_line("no keys yet; make one with `headrace keys create --name NAME`")
    return 0


def table(found: list[Json], now: float) -> Table:
    """The keys as a table."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("key", "tenant", "name", "may", "roles", "made", "state"):
        grid.add_column(name)
    for key in found:
        made = time.strftime("%Y-%m-%d", time.localtime(float(key["created_at"])))
        cells = (str(key["key_id"]), key["tenant_id"], key["name"], " ".join(key["scopes"]), " ".join(key["roles"]))
        grid.add_row(*(Text(one_line(str(cell), 64)) for cell in cells), made, _state(key, now))
    return grid


def _state(key: Json, now: float) -> str:
    if key["revoked_at"] is not None:
        return "revoked"
    if key["expires_at"] is None:
        return "live"
    days = (float(key["expires_at"]) - now) / 86400
    return f"{days:.1f} days left" if days > 0 else "expired"


def _told(made: Json, json: bool) -> int:
    if json:
        stdout_line(orjson.dumps(made).decode())
        return 0
    stdout_line(str(made["key"]))
    stderr_line(f"tenant {made['tenant_id']}, may {' '.join(made['scopes'])}. It is shown this once; use it so:")
    stderr_line(f"  export {KEY}={made['key']}")
    return 0


def _id(key_id: str) -> str:
    """The id in what was given, which may be a whole key."""
    return key_id.removeprefix("hr_").partition(".")[0]
