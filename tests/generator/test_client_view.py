"""What a client shows of a run is what the server says of it."""

import httpx2
from starlette.applications import Starlette

from runtime.client import HeadraceClient
from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from tests.client.agreement import agree
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import ask, whole_run


async def test_the_view_of_a_run_is_what_the_server_shows(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    run_id = await ask(http, budget_usd=2, metadata={"team": "x"}, approve_plan=True)
    await whole_run(door, run_id)
    asked = ev.ApprovalRequested(approval="q", kind="question", what="?", arguments_hash="h", expires_at=1.0)
    for event in (
        Draft(asked),
        Draft(ev.RecoveryResumed(reason="takeover", attempt=1, of=5)),
        Draft(
            ev.RunFailed(
                code="c", message="m", layer="model", retryable=True, resume=ev.ResumeHint(possible=True, how="Do.")
            )
        ),
    ):
        async with HeadraceClient("http://127.0.0.1", transport=httpx2.ASGITransport(app)) as client:
            await door.publish(run_id, event)
            view, shown = await client.view(run_id), await client.snapshot(run_id)
        agree(view.as_json(), shown)
        assert view.as_json()["budget"]["limit_usd"] == shown["budget"]["limit_usd"]
