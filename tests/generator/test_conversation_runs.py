"""Conversations through the whole system in one process, with the offline engine and its documents on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.bootstrap.system import System, in_process
from runtime.config import Settings
from runtime.events.brief import Brief, render
from runtime.events.codec import decode
from runtime.events.history import Enclosed
from runtime.llm.offline.client import OfflineClient
from tests.checker import check_run

DOCUMENTS = {
    "queue.md": "# Queue\n\nThe queue hands every order to one worker. A queue forgets an order once it is done.\n",
    "log.md": "# Log\n\nThe log is the durable record of everything that happened. The log keeps every order for a year.\n",
    "cake.md": "# Cake\n\nThe second cake in the oven needs an hour. What about sugar is a matter of taste.\n",
}


class World:
    def __init__(self, system: System, http: httpx2.AsyncClient) -> None:
        self.system = system
        self.http = http

    async def ask(self, question: str, **body: object) -> dict[str, Any]:
        """The run's snapshot at its end, its log held to the grammar."""
        response = await self.http.post("/v1/runs", json={"input": question, **body})
        assert response.status_code == 202, response.text
        run_id = response.json()["run_id"]
        follow = self.system.door.follow(run_id, after=0, idle_s=1.0)
        async with asyncio.timeout(30):
            log = [stored async for batch in follow if batch for stored in batch]
        check_run(log)
        snapshot: dict[str, Any] = (await self.http.get(f"/v1/runs/{run_id}")).json()
        return {**snapshot, "types": [stored.type for stored in log]}


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    async with in_process(Settings(model="offline", data_dir=folder / "data", flush_interval_s=0.005)) as system:
        transport = httpx2.ASGITransport(app=system.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
            yield World(system, http)


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(OfflineClient.__init__, "__defaults__", (0.0,))  # nobody reads along
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text)
    return str(folder)


async def test_a_follow_up_that_only_makes_sense_after_its_question_is_answered(tmp_path: Path, documents: str) -> None:
    async with world(tmp_path) as w:
        first = await w.ask("Compare the queue and the log", documents=documents)
        assert first["state"] == "completed"
        assert "title.set" in first["types"]
        conversation_id = first["conversation_id"]
    async with world(tmp_path) as w:  # everything was restarted in between
        alone = await w.ask("And what about the second one?", documents=documents)
        assert "durable record" not in alone["answer"]
        second = await w.ask("And what about the second one?", conversation_id=conversation_id)
        assert second["state"] == "completed"
        assert second["plan"][0]["title"] == "Search the documents: log"
        assert "durable record" in second["answer"]
        assert "hands every order" not in second["answer"]
        assert "log.md" in {c["location"].partition(":")[0] for o in second["outputs"] for c in o["citations"]}
        assert second["title"] == first["title"]
        assert "title.set" not in second["types"]
        assert "titler" not in {agent["name"] for agent in second["agents"]}
        found = (await w.http.get(f"/v1/conversations/{conversation_id}")).json()
        assert found["title"] == first["title"]
        assert [(run["question"], run["answer"]) for run in found["runs"]] == [
            ("Compare the queue and the log", first["answer"]),
            ("And what about the second one?", second["answer"]),
        ]
        listed = (await w.http.get("/v1/conversations")).json()["conversations"]
        assert [one["conversation_id"] for one in listed] == [conversation_id, alone["conversation_id"]]


async def test_without_documents_a_follow_up_is_answered_from_the_earlier_answer_and_its_sources(
    tmp_path: Path, documents: str
) -> None:
    async with world(tmp_path) as w:
        first = await w.ask("What is the log?", documents=documents)
        empty = tmp_path / "empty"
        empty.mkdir()
        second = await w.ask("Why?", conversation_id=first["conversation_id"], documents=str(empty))
        assert "this was answered before" in second["answer"]
        assert "durable record" in second["answer"]
        (cited,) = [o["citations"] for o in second["outputs"] if o["stage"] == "write"]
        assert {c["location"].partition(":")[0] for c in cited} == {"log.md"}


async def test_a_deleted_conversation_leaves_no_word_in_the_store(tmp_path: Path, documents: str) -> None:
    store = tmp_path / "data"

    def words(text: bytes) -> int:
        return sum(path.read_bytes().count(text) for path in store.glob("*.db*"))

    async with world(tmp_path) as w:
        first = await w.ask("What is the log of the zebrafinch?", documents=documents)
        second = await w.ask("Why?", conversation_id=first["conversation_id"])
        other = await w.ask("What is the queue?", documents=documents)
        assert words(b"zebrafinch") > 0
        path = f"/v1/conversations/{first['conversation_id']}"
        assert (await w.http.delete(path)).status_code == 204
        assert (await w.http.get(path)).status_code == 404
        for run in (first, second):
            assert (await w.http.get(f"/v1/runs/{run['run_id']}")).status_code == 404
        assert words(b"zebrafinch") == 0
        assert words(b"hands every order") > 0
        assert (await w.http.get(f"/v1/runs/{other['run_id']}")).json()["answer"] == other["answer"]


async def test_a_follow_up_is_told_what_was_attached_to_earlier_questions(tmp_path: Path, documents: str) -> None:
    picture = {"type": "image", "media_type": "image/png", "data": "iVBORw0KGgo=", "name": 'a "map".png'}
    paper = {"type": "pdf", "url": "https://example.org/a.pdf"}
    async with world(tmp_path) as w:
        first = await w.ask("What is a queue?", documents=documents, attachments=[picture, paper])
        second = await w.ask("And a log?", conversation_id=first["conversation_id"])
        third = await w.ask("And a cake?", conversation_id=first["conversation_id"])
        accepted = [(await w.system.hub.read(run["run_id"], after=0, limit=1))[0] for run in (second, third)]
    for stored in accepted:
        history = decode(stored).event.history  # type: ignore[union-attr]
        assert history.exchanges[0].attachments == (
            Enclosed(name='a "map".png', kind="image/png"),
            Enclosed(name="pdf 2", kind="pdf"),
        )
        assert b"iVBORw0KGgo" not in stored.body
    told = render(Brief("Why?", history=history))
    assert '<attached name="a &quot;map&quot;.png" type="image/png">It is not shown again' in told
