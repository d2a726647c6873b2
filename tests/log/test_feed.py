"""Fan-out: bounded, alive when idle, one feed per door."""

from __future__ import annotations

import asyncio

from runtime.events.envelope import Stored
from runtime.log.feed import HIGH_WATER_BYTES, IDLE_S, Feed, Feeds
from runtime.log.wire import FeedItem
from tests.virtual_time import virtual_time


async def news(feed: Feed) -> list[FeedItem]:
    """The next batch with something in it; a feed greets with an empty one."""
    async for batch in feed:
        if batch:
            return batch
    raise AssertionError("the feed ended")


def stored(seq: int, size: int = 10) -> Stored:
    return Stored(seq, 1, "turn.delta", "token", "s1", b"x" * size)


@virtual_time
async def test_a_feed_that_holds_too_much_keeps_only_heads() -> None:
    feed = Feed()
    half = HIGH_WATER_BYTES // 2
    feed.put("a", 1, (stored(1, half),))
    feed.put("b", 1, (stored(1, half),))
    feed.put("a", 2, (stored(2, 10),))
    batch = {item.run_id: item for item in await news(feed)}
    assert {run_id: (item.head, item.events) for run_id, item in batch.items()} == {"a": (2, ()), "b": (1, ())}
    assert feed.degraded == 1


@virtual_time
async def test_a_feed_nobody_takes_stays_within_its_bound() -> None:
    feed = Feed()
    for seq in range(1, 2000):
        feed.put("a", seq, (stored(seq, 64 * 1024),))
        assert feed._bytes <= HIGH_WATER_BYTES
        assert sum(len(e.body) for events in feed._events.values() for e in events) <= HIGH_WATER_BYTES
    (item,) = await news(feed)
    assert item.head == 1999


@virtual_time
async def test_after_an_overflow_the_events_of_an_item_are_still_consecutive() -> None:
    feed = Feed()
    for seq in range(1, 300):
        feed.put("a", seq, (stored(seq, 64 * 1024),))
    (item,) = await news(feed)
    seqs = [e.seq for e in item.events]
    assert seqs == list(range(item.head - len(seqs) + 1, item.head + 1))


@virtual_time
async def test_a_feed_greets_at_once_and_says_every_two_seconds_that_it_is_idle() -> None:
    loop = asyncio.get_running_loop()
    batches = aiter(Feed())
    assert await anext(batches) == []
    assert loop.time() == 0.0
    assert [await anext(batches), await anext(batches)] == [[], []]
    assert loop.time() == 2 * IDLE_S


@virtual_time
async def test_a_closed_feed_ends_after_what_it_holds() -> None:
    feed = Feed()
    feed.put("a", 1, (stored(1),))
    feed.close()
    batches = [batch async for batch in feed if batch]
    assert [[item.head for item in batch] for batch in batches] == [[1]]


@virtual_time
async def test_a_newer_feed_ends_the_older_and_takes_over_its_runs() -> None:
    feeds = Feeds()
    old = feeds.open("d")
    feeds.watch("d", "a")
    new = feeds.open("d")
    async with asyncio.timeout(1.0):
        assert [batch async for batch in old if batch] == []
    assert feeds.drop("d", old) == [], "the door is not lost: it has a newer feed"
    feeds.publish("a", 7, (stored(7),))
    (item,) = await news(new)
    assert item.head == 7
    assert feeds.drop("d", new) == ["a"]
    assert feeds.watchers("a") == frozenset()


@virtual_time
async def test_a_door_is_fed_only_what_it_watches() -> None:
    feeds = Feeds()
    left, right = feeds.open("l"), feeds.open("r")
    feeds.watch("l", "a")
    feeds.watch("r", "b")
    feeds.publish("a", 1, (stored(1),))
    feeds.publish("b", 2, (stored(2),))
    assert [(i.run_id, i.head) for i in await news(left)] == [("a", 1)]
    assert [(i.run_id, i.head) for i in await news(right)] == [("b", 2)]
