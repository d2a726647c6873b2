"""Which values of the configuration are secret: what is taken out of everything that is written.

Found by itself: keys and passwords that the settings hold, and what an MCP server is given. ``settings.secrets`` names the
rest: environment variables and files that tools of the user's own read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from runtime.config import McpServer, Settings
from runtime.errors import ConfigurationError
from runtime.stream.redactor import Redactor

LEAST_NAMED, LEAST_FOUND = 4, 8
"""Characters of a value that somebody named as secret, and of one found by itself: shorter ones stand in ordinary words."""

ENVIRONMENT = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "PGPASSWORD", "RAY_AUTH_TOKEN")
"""Variables that libraries read by themselves."""

_TELLING = re.compile(r"key|token|secret|pass|pwd|auth|credential|cookie|session|signature|private", re.IGNORECASE)
"""Names of what is secret, whatever it looks like."""

_SCHEMES = ("bearer", "basic", "token", "apikey", "digest")
"""Words before a credential in a header."""


def secret_values(settings: Settings, environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """All of them. Reads the files that are named. Raises :class:`ConfigurationError` for a name that leads to nothing."""
    found = {settings.anthropic_api_key, *(environ.get(name, "") for name in ENVIRONMENT)}
    for url in (settings.log_url(), settings.anthropic_base_url):
        found.update(_of_url(url))
    for server in settings.mcp_servers.values():
        found.update(_of_server(server))
    named = {value for name in settings.secrets for value in _named(name, environ)}
    return frozenset({value for value in found if len(value) >= LEAST_FOUND} | named)


def redactor_of(settings: Settings) -> Redactor:
    """Takes them, and what looks like a key, out of texts. Raises :class:`ConfigurationError`."""
    return Redactor(secret_values(settings))


def _named(name: str, environ: Mapping[str, str]) -> Iterator[str]:
    """The values of a variable or, for a path, of the lines of a file: each counts for itself."""
    if "/" not in name:
        text, where = environ.get(name, ""), f"the environment variable {name}"
    else:
        where = f"the file {name}"
        try:
            text = Path(name).expanduser().read_text(errors="surrogateescape")
        except OSError as error:
            raise ConfigurationError(f"secrets: {where} cannot be read: {error.strerror}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ConfigurationError(f"secrets: {where} is not set, or empty; set it, or take it out of HEADRACE_SECRETS")
    if len(lines) == 1 and len(lines[0]) < LEAST_NAMED:
        raise ConfigurationError(f"secrets: {where} has fewer than {LEAST_NAMED} characters, which stand in any text")
    yield from (line for line in lines if len(line) >= (LEAST_NAMED if len(lines) == 1 else LEAST_FOUND))


def _of_server(server: McpServer) -> Iterator[str]:
    for name, value in (*server.env.items(), *server.headers.items()):
        scheme, _, rest = value.strip().partition(" ")
        credential = rest.strip() if scheme.lower() in _SCHEMES and rest else value.strip()
        if _TELLING.search(name) or _looks_random(credential):
            yield credential
        yield from _of_url(value)
    yield from _of_url(server.url or "")


def _of_url(url: str) -> Iterator[str]:
    """The password in an address, and parameters whose names are telling; as they stand there and as they are meant."""
    try:
        parts = urlsplit(url)
        password = parts.password or ""
    except ValueError:  # no address
        return
    yield from (password, unquote(password))
    yield from (value for name, value in parse_qsl(parts.query) if _TELLING.search(name))


def _looks_random(value: str) -> bool:
    """At least 16 characters without spaces, letters and digits mixed, and neither a path nor an address."""
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return len(value) >= 16 and mixed and not re.search(r"\s|/", value)
