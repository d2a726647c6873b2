"""The page at ``/``: its built files, served from memory with headers that let nothing foreign run in it.

``web/`` is its source and ``make web`` builds it into ``runtime/page``. All files are read once, when the application is
built, so that a request can name one of them and nothing else: there is no path to leave the folder by.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from runtime.generator.accept import choose
from runtime.generator.problems import NOT_FOUND

FOLDER = Path(__file__).parents[1] / "page"
"""Where ``make web`` puts the built page; a part of the wheel, not of the repository."""

HTML = "text/html"
TEXT = "text/plain"

CSP: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
    )
)
"""SECURITY.md 2.6: text of a model must not run, frame, load or send anything, even if it got into the page as HTML."""

SAFE: Final = {
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
"""What the build makes. A file of another kind is not served: a type that is guessed is a type that can be wrong."""

FOREVER: Final = "public, max-age=31536000, immutable"
"""For files whose name carries the hash of what is in them."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page."""

    body: bytes
    packed: bytes
    """The same, gzipped."""
    media_type: str


class Page:
    """The built page. ``assets``: file name -> file."""

    def __init__(self, index: bytes, assets: Mapping[str, Asset]) -> None:
        self._index = index
        self._assets = dict(assets)

    def index(self) -> Response:
        """The document; asked for again each time, so that a new version is seen at once."""
        return Response(self._index, headers={**SAFE, "Cache-Control": "no-cache", "Vary": "Accept"}, media_type=HTML)

    async def asset(self, request: Request) -> ASGIApp:
        """One of its files, by name. Raises a 404 for every other name."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise NOT_FOUND
        headers = {**SAFE, "Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
        if choose_gzip(request):
            return Response(asset.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
        return Response(asset.body, headers=headers, media_type=asset.media_type)


def load(folder: Path = FOLDER) -> Page | None:
    """The page built into ``folder``; None when none was built there."""
    index = folder / "index.html"
    if not index.is_file():
        return None
    files = (file for file in (folder / "assets").iterdir() if file.is_file() and file.suffix in TYPES)
    return Page(index.read_bytes(), {file.name: _asset(file) for file in files})


def wants_page(request: Request) -> bool:
    """Whether the request would rather have HTML than text, as browsers would; ``curl`` takes anything and gets text."""
    return choose(request.headers.getlist("accept"), (TEXT, HTML)) == HTML


def choose_gzip(request: Request) -> bool:
    """Whether the request takes gzip."""
    names = (part.partition(";") for part in request.headers.get("accept-encoding", "").lower().split(","))
    return any(name.strip() == "gzip" and "q=0" not in rest.replace(" ", "").split(";") for name, _, rest in names)


def _asset(file: Path) -> Asset:
    body = file.read_bytes()
    return Asset(body, gzip.compress(body, mtime=0), TYPES[file.suffix])
