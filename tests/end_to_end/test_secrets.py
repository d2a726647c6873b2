"""P16 on Ray: twenty planted secrets are in none of what the processes say, write, or are called (JOURNAL.md P16)."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from pathlib import Path

import httpx2
import pytest

from runtime.stream.redactor import REDACTED
from tests.end_to_end.conftest import served
from tests.fakes.messages_server import MessagesServer
from tests.faults.canaries import MODELS, MODULE, Planted, answers, files_below, process_list, tape
from tests.faults.report import record

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


async def test_no_planted_secret_is_in_anything_that_the_processes_leave_behind(tmp_path: Path) -> None:
    planted = Planted(int(os.environ.get("SEED", random.randrange(2**32))), tmp_path)
    with tempfile.TemporaryDirectory(dir="/tmp") as ray:  # Ray's sockets want a short path
        async with MessagesServer(recordings=tape(planted)) as server:
            environment = {
                **planted.environment,
                "ANTHROPIC_BASE_URL": server.base_url,
                "HEADRACE_AGENT_MODELS": json.dumps(MODELS),
                "HEADRACE_HOOKS": json.dumps([f"{MODULE}:hook"]),
                "HEADRACE_LOG_LEVEL": "INFO",
                "RAY_TMPDIR": ray,
            }
            loop, system = asyncio.get_running_loop(), served(tmp_path / "data", "--module", MODULE, **environment)
            running = await loop.run_in_executor(None, system.__enter__)
            try:
                async with httpx2.AsyncClient(base_url=running.url) as http:
                    found = await answers(http, planted)
                found["process list"] = process_list()
                found |= {f"live {name}": content for name, content in files_below(running.data).items()}
            finally:
                await loop.run_in_executor(None, system.__exit__, None, None, None)
        found |= files_below(running.data) | {f"Ray's {name}": text for name, text in files_below(Path(ray)).items()}
    hits = {name: values for name, content in found.items() if (values := planted.hits(content))}
    told = [name for name, content in found.items() if REDACTED.encode() in content]
    floor = f"{len(found)} artefacts, in {len(told)} of them something was taken out"
    trials = len(planted.values) * len(found)
    what = "secrets told by tools, models and hooks on Ray, found in what is left behind"
    record(promise="P16", what=what, n=trials, violations=sum(map(len, hits.values())), seed=planted.seed, floor=floor)
    assert not hits
    (tools,) = (json.loads(content)["tools"] for name, content in found.items() if "/v1/tools" in name)
    (add,) = (tool for tool in tools if tool["name"] == "local__add")
    assert (add["title"], add["description"], add["kind"], add["agents"]) == (
        "Sum",
        "Add two numbers.",
        "read",
        ["leaky"],
    )
    assert set(add["input_schema"]["properties"]) == {"a", "b"}
    streams = [content for name, content in found.items() if name.startswith("POST")]
    assert b'"run.completed"' in streams[0] and b'"run.failed"' in streams[1]
    assert any(name.startswith("Ray's") for name in told), "processes have logged what was told"
    assert any("log.db" in name for name in told)
