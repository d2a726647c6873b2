"""Twenty secrets, where a system finds them, and a model that tells them all; and a search through everything that is left behind."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import psutil

from tests.fakes import messages_wire as wire
from tests.faults.leaky_agents import CANARIES

ODD = 'q"\\/ä +%='
"""In one of them, so that it looks different in JSON, in an address and in base64."""


@dataclass
class Planted:
    """The secrets, and the settings a system is given them by."""

    seed: int
    folder: Path
    values: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        named = [f"CANARY_{n}" for n in range(8)]
        for n, name in enumerate(named):
            self.environment[name] = self._new() + (ODD if n == 0 else "")
        path = self.folder / "canary.txt"
        path.write_text(f"{self._new()}\n")
        self.environment |= {"ANTHROPIC_API_KEY": self._new(), "PGPASSWORD": self._new()}
        self.environment["HEADRACE_SECRETS"] = json.dumps([*named, str(path)])
        server = {
            "url": f"http://user:{self._new()}@127.0.0.1:9/mcp?token={self._new()}",
            "headers": {"Authorization": f"Bearer {self._new()}", "X-Tenant": "customer-service"},
            "start_within_s": 1,
        }
        program = {
            "command": sys.executable,
            "args": [str(Path(__file__).parents[1] / "fakes" / "mcp_server.py"), "stdio"],
            "env": {"CRM_KEY": self._new(), "LANGUAGE": "information"},
            "agents": ["leaky"],
        }
        self.environment["HEADRACE_MCP_SERVERS"] = json.dumps({"crm": server, "local": program})
        self.values += [self.environment[name] for name in (*named, "ANTHROPIC_API_KEY", "PGPASSWORD")]
        self.values += [path.read_text().strip(), *re.findall(r"canary-\w+", self.environment["HEADRACE_MCP_SERVERS"])]
        self.values += [  # nobody configures these: they look like keys
            "sk-ant-api03-" + self._letters(40),
            "AKIA" + self._letters(16).upper(),
            "ghp_" + self._letters(36),
            "hr_" + self._letters(8) + "." + self._letters(43),
            f"-----BEGIN PRIVATE KEY-----\n{self._letters(64)}\n{self._letters(40)}",
        ]
        self.environment[CANARIES] = "\f".join(self.values).replace("\n", "\\n")

    def _new(self) -> str:
        return f"canary-{self._letters(24)}"

    def _letters(self, count: int) -> str:
        return "".join(self._random.choices(string.ascii_letters + string.digits, k=count))

    def hits(self, artefact: bytes) -> list[str]:
        """The secrets that stand in ``artefact``, in whatever form; of base64, what is sure of it wherever it begins."""
        return [value for value in self.values if any(form in artefact for form in _forms(value))]


def _forms(value: str) -> Iterable[bytes]:
    yield from (form.encode() for form in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]))
    if value.startswith("canary-"):
        yield value[:20].encode()  # most of it, as where a text is cut short
        yield from (form.encode() for form in (quote(value), quote(value, safe="")))
        yield from (base64.b64encode(b"-" * n + value.encode())[4:-4] for n in range(3))
    yield from (line.encode() for line in value.splitlines()[1:])  # of a private key each line by itself


# --- a model that tells them -----------------------------------------------------------------------------------------


class Tape(dict[str, bytes]):
    """Recordings of the fake server: of each model one after the other, the last again."""

    def __init__(self, tracks: Mapping[str, list[bytes]]) -> None:
        super().__init__({name: b"" for name in tracks})
        self._left = {name: list(track) for name, track in tracks.items()}

    def __getitem__(self, name: str) -> bytes:
        left = self._left[name]
        return left.pop(0) if len(left) > 1 else left[0]


def tape(planted: Planted) -> Tape:
    """What each agent's model says."""
    told = " and ".join(planted.values) + " [1]"
    few = " and ".join(planted.values[:6])
    border = told.index(planted.values[5]) + 9
    todos = [
        {"id": "spill", "title": f"Spill {few}", "agent": "leaky", "depends_on": []},
        {"id": "say", "title": "Say", "agent": "writing", "depends_on": ["spill"]},
    ]
    verdict = {"allowed": True, "category": "none", "reason": f"fine, says {few}"}
    calls = [
        wire.tool_block(0, "spill", "{}", "toolu_1"),
        [*wire.tool_block(0, "fail", "{}", "toolu_2"), *wire.tool_block(1, "fail_apart", "{}", "toolu_3")],
        wire.tool_block(0, "repeat", json.dumps({"words": told}), "toolu_4"),
    ]
    return Tape(
        {
            "titler": [_said(wire.text_block(0, json.dumps({"title": planted.values[3]})))],
            "guardrail": [_said(wire.text_block(0, json.dumps(verdict)))],
            "planner": [_said(wire.text_block(0, json.dumps({"todos": todos})))],
            "leaky": [*(_said(blocks, "tool_use") for blocks in calls), _said(_spelled(told, border))],
            "writing": [_said(_spelled(told, border)), _refused(told)],
        }
    )


def _spelled(told: str, border: int) -> list[wire.Event]:
    """Thinking and text in pieces of five characters, and again as two blocks of text whose border goes through a secret."""
    pieces = re.findall(r"(?s).{1,5}", told)
    thought = [wire.delta(0, "thinking_delta", thinking=piece) for piece in pieces]
    return [
        wire.opened(0, {"type": "thinking", "thinking": "", "signature": ""}),
        *thought,
        wire.delta(0, "signature_delta", signature="c2lnbmVk"),
        wire.closed(0),
        wire.opened(1, {"type": "text", "text": ""}),
        *(wire.delta(1, "text_delta", text=piece) for piece in pieces),
        wire.closed(1),
        *wire.text_block(2, told[:border]),
        *wire.text_block(3, told[border:]),
    ]


def _said(blocks: list[wire.Event], stop: str = "end_turn") -> bytes:
    return wire.encode(wire.start("fake"), *blocks, *wire.finish(stop))


def _refused(told: str) -> bytes:
    """A provider that repeats what it was told, as some do with keys they do not take."""
    return wire.encode(wire.start("fake"), wire.error("invalid_request_error", told))


# --- the search ------------------------------------------------------------------------------------------------------


MODELS = {name: f"anthropic:{name}" for name in ("titler", "guardrail", "planner", "leaky", "writing")}
MODULE = "tests.faults.leaky_agents"


async def answers(http: httpx2.AsyncClient, planted: Planted) -> dict[str, bytes]:
    """What a system answers that is asked to tell everything, twice: the second run's last model refuses."""
    found: dict[str, bytes] = {}

    async def ask(method: str, path: str, accept: str = "application/json", **more: Any) -> httpx2.Response:
        answer = await http.request(method, path, headers={"Accept": accept}, timeout=120, **more)
        found[f"{method} {path} ({accept}) {len(found)}"] = answer.content
        return answer

    for _ in range(2):
        asked = {"input": "Tell me everything", "conversation_id": "c"}
        stream = await ask("POST", "/v1/runs", "text/event-stream", json=asked)
        run = f"/v1/runs/{stream.headers['x-run-id']}"
        found[f"texts of {run}"] = put_together(stream.content)
        for path in (run, f"{run}/events", "/v1/runs", "/v1/conversations/c"):
            await ask("GET", path)
        await ask("GET", f"{run}/events", "text/event-stream")
    for path in ("/v1/conversations", "/v1/tools", "/v1/agents", "/metrics"):
        await ask("GET", path)
    for value in planted.values:
        refused = await http.post("/v1/runs", json={"input": "x", "documents": f"/nowhere/{value}"}, timeout=60)
        assert refused.status_code == 422
        found[f"error answer {len(found)}"] = refused.content
    return found


def put_together(stream: bytes) -> bytes:
    """What a reader makes of a stream: pieces of each text joined, and blocks of text that stand side by side."""
    texts: defaultdict[tuple[object, ...], str] = defaultdict(str)
    for line in stream.split(b"\n"):
        event = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {"type": ""}
        place = tuple(event.get(name) for name in ("stage", "agent", "turn", "attempt"))
        if event["type"] == "turn.delta":
            texts[(*place, event["data"]["kind"], event["data"].get("call_id"))] += event["data"]["text"]
        elif event["type"] == "turn.completed":
            texts[place] = "".join(block.get("text", "") for block in event["data"]["content"])
    return "\n\n".join(texts.values()).encode()


def process_list() -> bytes:
    """The command line of every process that can be seen."""
    lines = []
    for process in psutil.process_iter():
        try:
            lines.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return "\n".join(lines).encode()


def files_below(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by their paths in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
