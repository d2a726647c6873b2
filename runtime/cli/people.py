"""``headrace approve``, ``answer`` and ``say``: what a person says to a run."""

from __future__ import annotations

from typing import Any

from runtime.cli.screens import stdout_line
from runtime.client import HeadraceClient
from runtime.errors import Conflict


async def approve(run_id: str, approval: str | None, *, refuse: str | None, url: str) -> int:
    """Say yes, or no with a reason, to what the run asks; ``approval`` None: to the only thing it asks."""
    async with HeadraceClient(url) as client:
        asked = _the_one(await client.snapshot(run_id), approval, ("plan", "tool"))
        said: dict[str, Any] = {"approved": refuse is None, "text": refuse or ""}
        await client.say(
            run_id,
            type="approve",
            approval=asked["approval"],
            arguments_hash=asked["arguments_hash"],
            **said,
        )
    stdout_line(f"{'approved' if refuse is None else 'refused'}: {asked['what']}")
    return 0


async def answer(run_id: str, text: str, approval: str | None, *, url: str) -> int:
    """Answer the run's question."""
    async with HeadraceClient(url) as client:
        asked = _the_one(await client.snapshot(run_id), approval, ("question",))
        await client.say(run_id, type="answer", approval=asked["approval"], text=text)
    stdout_line(f"answered: {asked['what']}")
    return 0


async def say(run_id: str, text: str, stage: str | None, *, url: str) -> int:
    """Send the run's agents a message."""
    async with HeadraceClient(url) as client:
        await client.say(run_id, type="message", text=text, stage=stage)
    stdout_line(f"they hear it with their next turn: headrace tail {run_id} --url {url}")
    return 0


async def cancel_stage(run_id: str, stage: str, *, url: str) -> int:
    """End one step of the run."""
    async with HeadraceClient(url) as client:
        await client.say(run_id, type="cancel_stage", stage=stage)
    stdout_line(f"step {stage} is ended; the run goes on: headrace tail {run_id} --url {url}")
    return 0


def _the_one(snapshot: dict[str, Any], approval: str | None, kinds: tuple[str, ...]) -> dict[str, Any]:
    """The open question that is meant. Any: it is the server's JSON. Raises Conflict."""
    asked = [
        a for a in snapshot.get("approvals", []) if a["open"] and (a["kind"] in kinds or a["approval"] == approval)
    ]
    meant = [a for a in asked if approval in (None, a["approval"])]
    if len(meant) == 1:
        return dict(meant[0])
    if not asked:
        raise Conflict("this run asks nothing of that kind just now", "not_asked")
    rows = "; ".join(f"{a['approval']}: {a['what']}" for a in asked)
    raise Conflict(f"say which one is meant ({rows})", "not_asked")
