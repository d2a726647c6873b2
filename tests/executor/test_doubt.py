"""An owner that drives a run anew first learns what became of all it had sent: it must not decide on half of its own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from runtime.errors import StoreUnavailable
from runtime.log.wire import Append, Appended
from tests.rig import SIDE_BY_SIDE, running, types
from tests.virtual_time import virtual_time

TWO_AT_ONCE = (
    SIDE_BY_SIDE
    + """
[[turn]]
rate = 10
text = "words of {agent} about {task}, one by one"
repeat = 5
"""
)


@virtual_time
async def test_dispatch_under_way_while_the_log_cannot_be_read_is_not_made_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(TWO_AT_ONCE) as rig:
        send, read = rig.portal.append, rig.portal.read
        away_until: float | None = None

        async def append(batch: Sequence[Append]) -> list[Appended]:
            """Away for 5 s from the second dispatch of ``b`` on; only then does it come through."""
            nonlocal away_until
            if any(r.stage == "b" and b'"dispatch":2' in r.body for item in batch for r in item.records):
                away_until = away_until or rig.clock.monotonic() + 5.0
                await rig.executors[-1].nudge("r1")  # the owner looks, and cannot read
            if away_until is not None and rig.clock.monotonic() < away_until:
                raise StoreUnavailable("away")
            return await send(batch)

        async def reads(*args: Any, **options: Any) -> Any:
            if away_until is not None and rig.clock.monotonic() < away_until - 3.0:
                raise StoreUnavailable("away")
            return await read(*args, **options)

        monkeypatch.setattr(rig.portal, "append", append)
        monkeypatch.setattr(rig.portal, "read", reads)
        await rig.ask()
        await rig.when("r1", lambda seen: {("turn.delta", "a"), ("turn.delta", "b")} <= set(seen))
        await rig.lose_process(rig.executors[0])
        await rig.portal.release("process-1", lost=True)
        await rig.put_process()
        log = await rig.ended()
    assert away_until is not None
    assert log[-1].event.type == "run.completed"
    assert [e.event.dispatch for e in log if e.event.type == "stage.dispatched" and e.stage == "b"] == [1, 2, 3]
    assert types(log).count("stage.completed") == 2
