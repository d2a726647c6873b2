"""The fake server is itself a promise to other tests: it runs as a process and tells what it was asked."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import anthropic
import httpx2

from tests.fakes.messages_server import MessagesServer

SCRIPT = Path(__file__).parents[1] / "fakes" / "messages_server.py"


async def test_it_runs_as_a_process_and_prints_its_port() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        port = int((await process.stdout.readline()).split()[-1])
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            body = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}
            assert (await http.post("/v1/messages", json=body)).json()["stop_reason"] == "end_turn"
            assert [call["model"] for call in (await http.get("/calls")).json()["calls"]] == ["m"]
    finally:
        process.kill()
        await process.wait()


async def test_the_sdk_reads_what_is_not_streamed() -> None:
    message: Any = {"role": "user", "content": "Why?"}
    tool: Any = {"name": "search_documents", "input_schema": {"type": "object"}}
    async with (
        MessagesServer() as server,
        anthropic.AsyncAnthropic(api_key="k", base_url=server.base_url, max_retries=0) as sdk,
    ):
        said = await sdk.messages.create(model="m", max_tokens=9, messages=[message], tools=[tool])
        assert [block.type for block in said.content] == ["text", "tool_use"]
        counted = await sdk.messages.count_tokens(model="m", messages=[message])
        assert counted.input_tokens > 0
        assert [call.path for call in server.calls] == ["/v1/messages", "/v1/messages/count_tokens"]
