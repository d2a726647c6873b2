"""The support desk: money is paid back once, and only when a person has agreed; who may not see addresses does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.bootstrap.system import in_process_server
from runtime.client import HeadraceClient
from runtime.config import Settings
from runtime.errors import Conflict
from runtime.events import catalog as ev
from runtime.testing import RunEvents

SCRIPT = Path(__file__).parents[2] / "examples" / "support_desk.toml"
QUESTION = "My lamp of order A-17 is broken. Can I have my money back?"


async def served(folder: Path, *, approved: bool, **more: Any) -> RunEvents:
    """A run in which a person answers the request for approval over HTTP, twice, as people do."""
    modules = ("examples.support_desk", "examples.viewer")
    settings = Settings(model="scripted", script=SCRIPT, modules=modules, data_dir=folder, log="memory:", **more)
    async with in_process_server(settings) as url, HeadraceClient(url) as client:
        run_id = (await client.create(QUESTION))["run_id"]
        events = []
        async for event in client.follow(run_id):
            events.append(event)
            if isinstance(asked := event.data, ev.ApprovalRequested):
                assert refunds(folder) == []
                answer = {"approval": asked.approval, "arguments_hash": asked.arguments_hash, "approved": approved}
                await client.say(run_id, type="approve", **answer)
                with pytest.raises(Conflict):
                    await client.say(run_id, type="approve", **answer)
    run = RunEvents(events)
    run.assert_grammar()
    return run


def refunds(folder: Path) -> list[Any]:
    ledger = folder / "refunds.jsonl"
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


async def test_an_approved_refund_is_paid_once(tmp_path: Path) -> None:
    run = await served(tmp_path, approved=True)
    assert isinstance(run.end, ev.RunCompleted)
    [paid] = refunds(tmp_path)
    assert (paid["order"], paid["cents"]) == ("A-17", 4900)
    assert [done.result for done in run.of(ev.ToolCompleted) if done.name == "refund"] == [
        "49.00 euros were paid back for order A-17"
    ]
    assert run.types().index("approval.given") < run.types().index("tool.called", run.types().index("approval.given"))


async def test_a_refused_refund_is_not_paid(tmp_path: Path) -> None:
    run = await served(tmp_path, approved=False)
    assert isinstance(run.end, ev.RunCompleted)
    assert refunds(tmp_path) == []


@pytest.mark.parametrize(("roles", "shown"), [((), "(hidden)"), (("support",), "ada@example.com")])
async def test_addresses_are_for_support_only(tmp_path: Path, roles: tuple[str, ...], shown: str) -> None:
    run = await served(tmp_path, approved=False, viewer_roles=roles)
    [order] = [done for done in run.of(ev.ToolCompleted) if done.name == "look_up_order"]
    assert json.loads(order.result)["customer"] == shown
