"""Names for delegated work: a delegate's events carry the path of the calls it is inside of."""

from __future__ import annotations

from urllib.parse import quote


def call_key(turn: int, call_id: str) -> str:
    """One call among all of a conversation: some servers number the calls of each turn anew."""
    return f"{turn}.{quote(call_id, safe='')}"


def joined(outer: str | None, inner: str) -> str:
    """The path ``inner`` as seen from outside of the work at the path ``outer``."""
    return inner if outer is None else f"{outer}/{inner}"


def call_path(outer: str | None, turn: int, call_id: str) -> str:
    """The path of work delegated by that call: ``2.toolu_1``, and inside of it ``2.toolu_1/1.toolu_7``."""
    return joined(outer, call_key(turn, call_id))


def depth_of(call: str | None) -> int:
    """How many delegations something is inside of; 0: none."""
    return 0 if call is None else call.count("/") + 1
