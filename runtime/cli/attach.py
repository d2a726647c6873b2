"""Files given with ``--attach``, as the API takes them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from runtime.cli.outcome import MISUSED, fail

TYPES = {
    ".png": ("image", "image/png"),
    ".jpg": ("image", "image/jpeg"),
    ".jpeg": ("image", "image/jpeg"),
    ".gif": ("image", "image/gif"),
    ".webp": ("image", "image/webp"),
    ".pdf": ("pdf", "application/pdf"),
    ".txt": ("text", "text/plain"),
    ".md": ("text", "text/plain"),
}
"""What a file is, by the end of its name."""


def attachments(files: Sequence[Path]) -> list[dict[str, str]] | None:
    """Them as parts of a request, None when there are none; leaves with a sentence when one cannot be read."""
    return [_attachment(path.expanduser()) for path in files] or None


def _attachment(path: Path) -> dict[str, str]:
    kind, media_type = TYPES.get(path.suffix.lower(), ("", ""))
    if not kind:
        raise fail(f"{str(path)!r} cannot be attached; --attach takes {', '.join(sorted(TYPES))}", MISUSED)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise fail(f"{str(path)!r} cannot be read: {error.strerror}", MISUSED) from error
    return {"type": kind, "media_type": media_type, "data": b64encode(data).decode(), "name": path.name[:200]}
