"""The same question through the real Anthropic SDK, over real HTTP, against our fake Messages API server; then unplugged."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.end_to_end.conftest import Provider, Served, served
from tests.end_to_end.streams import Reading, request

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def system(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("anthropic")
    with served(data, **provider.environment()) as running:
        yield running


def post(system: Served, documents: Path) -> Reading:
    body = {"input": "What happens when a process dies?", "documents": str(documents)}
    return request(system.port, "POST", "/v1/runs", json_body=body, headers={"Accept": "text/event-stream"})


def test_whole_run_goes_through_the_real_sdk_with_tools_and_structured_output(
    system: Served, provider: Provider, documents: Path
) -> None:
    assert "model: anthropic" in system.output.read_text()
    frames = post(system, documents).frames()
    types = [frame.body["type"] for frame in frames]
    assert types[-1] == "run.completed"
    assert {"title.set", "guardrail.verdict", "plan.committed", "tool.completed", "turn.delta"} <= set(types)
    calls = provider.calls()
    assert len(calls) >= 5
    assert frames[-1].body["data"]["usage"]["output_tokens"] > 0
    assert b"a-key-for-the-fake" not in b"".join(frame.data for frame in frames)


def test_unplugged_provider_yields_the_error_event_with_layer_and_what_was_completed(
    system: Served, provider: Provider, documents: Path
) -> None:
    unplug = threading.Thread(target=_unplug_in_mid_stream, args=(system, provider))
    unplug.start()
    frames = post(system, documents).frames()
    unplug.join()

    end = frames[-1]
    assert end.event == "error"
    assert end.body["type"] == "run.failed"
    assert end.body["data"]["code"] in ("model_unreachable", "stream_broken")
    assert end.body["data"]["layer"] == "model"
    assert end.body["data"]["retryable"] is True
    assert end.body["data"]["resume"]["possible"] is True
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    assert "recovery.retrying" in [frame.body["type"] for frame in frames]
    assert httpx2.get(f"{system.url}/readyz", timeout=10).status_code == 200, "the system itself is well"


def _unplug_in_mid_stream(system: Served, provider: Provider) -> None:
    """Wait until the newest run shows tokens, then take the provider away."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        newest = httpx2.get(f"{system.url}/v1/runs", timeout=10).json()["runs"][0]
        page = httpx2.get(
            f"{system.url}/v1/runs/{newest['run_id']}/events", headers={"Accept": "application/json"}, timeout=10
        ).json()
        if newest["state"] == "running" and any(event["family"] == "token" for event in page["events"]):
            provider.unplug()
            return
        time.sleep(0.05)
    raise AssertionError("no token was seen")
