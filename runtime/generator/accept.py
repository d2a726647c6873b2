"""Content negotiation: which of the offered media types an ``Accept`` header prefers (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

JSON = "application/json"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"


def choose(accept: Sequence[str], offers: Sequence[str]) -> str | None:
    """The best of ``offers`` for the header's values; None when none is acceptable. No header accepts everything.

    The higher quality wins, then the place in the header, then the place among the offers.
    """
    ranges = [parsed for value in accept for part in value.split(",") if (parsed := _parse(part)) is not None]
    if not ranges:
        return offers[0]
    ranked = [(_rank(ranges, offer), -place, offer) for place, offer in enumerate(offers)]
    best = max((r for r in ranked if r[0] is not None), default=None, key=lambda r: (r[0], r[1]))
    return best[2] if best is not None else None


def _parse(part: str) -> tuple[str, float] | None:
    """``(media range, quality)``; None for an empty or unreadable part, which is left out."""
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    if "/" not in media:
        return None
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
    return media, quality


def _rank(ranges: Sequence[tuple[str, float]], offer: str) -> tuple[float, int] | None:
    """``(quality, -place)`` of the most specific range that names ``offer``; None when it is not acceptable."""
    for wanted in (offer, offer.split("/")[0] + "/*", "*/*"):
        for place, (media, quality) in enumerate(ranges):
            if media == wanted:
                return (quality, -place) if 0 < quality <= 1 else None
    return None
