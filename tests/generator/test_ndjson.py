"""The events as lines of JSON: the same events under the same rules, without what only an ``EventSource`` needs."""

import asyncio
import json

import httpx2
import pytest
from starlette.applications import Starlette

from runtime.errors import Busy, StoreUnavailable
from runtime.events import catalog as ev
from runtime.events.codec import public_json
from runtime.events.envelope import Draft, Stored
from runtime.generator.ndjson import Lines
from runtime.generator.stream import EventStream, OpenStreams
from runtime.stream.view import View, Viewer, view
from tests.generator.driver import Exchange, http_scope
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import ask, whole_run
from tests.generator.test_stream import SCOPE, Script, event

NDJSON = ("Accept", "application/x-ndjson")


async def test_the_lines_are_the_events_of_the_stream(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    await whole_run(door, run_id)
    await door.publish(run_id, Draft(ev.RunCompleted(answer="Because.")))
    answer = await http.get(f"/v1/runs/{run_id}/events", headers=[NDJSON])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.content == b"\n" + b"".join(public_json(e) + b"\n" for e in door.events[run_id])
    stream = await http.get(f"/v1/runs/{run_id}/events", headers={"Accept": "text/event-stream"})
    data = [line.removeprefix("data: ") for line in stream.text.split("\n") if line.startswith("data: ")]
    assert answer.text.strip().split("\n") == data


async def test_it_goes_on_after_a_cursor_and_says_when_there_is_nothing_more(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    run_id = await ask(http)
    await door.publish(run_id, Draft(ev.TitleSet(title="T")), Draft(ev.RunCompleted(answer="Because.")))
    path = f"/v1/runs/{run_id}/events"
    answer = await http.get(path, params={"after": "1.0"}, headers=[NDJSON])
    assert [json.loads(line)["seq"] for line in answer.text.split()] == [2, 3]
    by_header = await http.get(path, headers=[NDJSON, ("Last-Event-ID", "1")])
    assert by_header.text == answer.text
    assert (await http.get(path, params={"after": "3"}, headers=[NDJSON])).status_code == 204
    assert (await http.get(path, params={"after": "9"}, headers=[NDJSON])).json()["code"] == "cursor_ahead"
    assert (await http.get(path, params={"after": "x"}, headers=[NDJSON])).json()["code"] == "invalid_cursor"


async def test_events_come_as_they_happen_with_empty_lines_in_between(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    run_id = await ask(http)
    exchange = Exchange(app, http_scope("GET", f"/v1/runs/{run_id}/events", [NDJSON]))
    await exchange.until_sent(b"run.accepted")
    await exchange.until_sent(b"\n\n\n")
    assert door.readers[run_id] == 1
    await door.publish(run_id, Draft(ev.TitleSet(title="T")))
    await exchange.until_sent(b'"title.set"')
    await exchange.leave()
    assert door.readers[run_id] == 0
    assert door.closed == 1


async def test_what_cannot_be_begun_is_refused_in_words(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    run_id = await ask(http)
    path = f"/v1/runs/{run_id}/events"
    door.down = True
    away = await http.get(path, headers=[NDJSON])
    assert (away.status_code, away.json()["code"]) == (503, "store_unavailable")
    assert int(away.headers["retry-after"]) >= 1
    door.down, door.max_readers = False, 50
    readers = [Exchange(app, http_scope("GET", path, [NDJSON])) for _ in range(3)]  # the settings allow three
    await asyncio.gather(*(reader.until(lambda reader=reader: len(reader.sent) > 1) for reader in readers))
    full = await http.get(path, headers=[NDJSON])
    assert (full.status_code, full.json()["code"]) == (429, "too_many_streams")
    for reader in readers:
        reader.disconnected.set()
    await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), Busy("51st")])
async def test_what_cannot_go_on_is_broken_off(error: Exception) -> None:
    script = Script([event(1)], error)
    exchange = Exchange(EventStream(script.follow, streams=OpenStreams(10), framing=Lines()), SCOPE)
    with pytest.raises(type(error)):
        await exchange.done()
    assert exchange.text == b"\n" + public_json(event(1)) + b"\n"
    assert not exchange.ended
    assert script.closed == 1


def test_what_a_viewer_may_not_see_is_a_stub_with_its_number() -> None:
    @view("object")
    def nothing(draft: Draft, viewer: Viewer) -> Draft | None:
        return None

    stored = Stored(
        3, 1, "title.set", "object", None, b'{"run_id":"r","type":"title.set","at":1.0,"data":{"title":"T"}}'
    )
    (line,) = Lines(View((nothing,))).bytes_of([stored]).split()
    assert {k: json.loads(line)[k] for k in ("seq", "type")} == {"seq": 3, "type": "hidden"}
    assert Lines().bytes_of(None) == Lines().bytes_of([]) == b"\n"
