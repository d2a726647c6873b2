"""A ledger of effects in a process of its own: whatever a tool does there has happened, whoever dies afterwards.

In a test::

    with EffectsLedger(tmp_path / "effects.jsonl") as ledger:
        await ledger.record(run="r1", stage="find", kind="idempotent", call="c1", key="r1:find:1:c1")
        [effect] = await ledger.effects()

As a process: ``python tests/fakes/effects_ledger.py FILE`` prints ``listening on PORT``.

``POST /effects`` appends its JSON with ``attempt`` (1, 2 ... of that run, stage and call) to the file, with fsync, and only
then answers; ``GET /effects`` gives all of them. ``POST /faults`` says what is to happen after each effect from then on:
``late_s`` (answer so much later), ``drop`` (hang up instead of answering), ``die`` (the ledger itself is gone).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Self

Effect = dict[str, Any]


class EffectsLedger:
    """The process, and a client of it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.port = 0

    def __enter__(self) -> Self:
        command = [sys.executable, str(Path(__file__).resolve()), str(self._file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(" ")[2])
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def record(self, *, run: str, stage: str, kind: str, call: str, key: str) -> Effect:
        """Have the effect; answers it as it was noted. Raises ``ConnectionError`` when no answer comes."""
        return await _ask(
            self.port, "POST", "/effects", {"run": run, "stage": stage, "kind": kind, "call": call, "key": key}
        )

    async def effects(self, run: str | None = None) -> list[Effect]:
        """Every effect so far, of one run or of all."""
        return [e for e in await _ask(self.port, "GET", "/effects") if run in (None, e["run"])]

    async def faults(self, *, late_s: float = 0.0, drop: bool = False, die: bool = False) -> None:
        """What is to happen after each effect from now on."""
        await _ask(self.port, "POST", "/faults", {"late_s": late_s, "drop": drop, "die": die})


async def _ask(port: int, method: str, path: str, body: Any = None) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        data = json.dumps(body).encode()
        writer.write(f"{method} {path} HTTP/1.1\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        answer = await reader.read()
    finally:
        writer.close()
    if not answer.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"the ledger did not answer: {answer[:100]!r}")
    return json.loads(answer.partition(b"\r\n\r\n")[2])


class _Server:
    def __init__(self, file: Path) -> None:
        self._out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._effects: list[Effect] = [json.loads(line) for line in file.read_text().splitlines()]
        self._attempts = Counter(_place(effect) for effect in self._effects)
        self._faults: dict[str, Any] = {}

    async def serve(self) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length:")[2].split()[0])
            body = json.loads(await reader.readexactly(length))
            answer = await self._done(head.split()[0], head.split()[1], body)
            if answer is not None:
                data = json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + data)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            print("a caller was lost", file=sys.stderr)
        finally:
            writer.close()

    async def _done(self, method: str, path: str, body: Any) -> Any:
        """The answer; None hangs up instead."""
        if path == "/faults":
            self._faults = body
            return {}
        if method == "GET":
            return self._effects
        effect = self._append(body)
        if self._faults.get("die"):
            os._exit(1)
        await asyncio.sleep(self._faults.get("late_s", 0.0))
        return None if self._faults.get("drop") else effect

    def _append(self, body: Effect) -> Effect:
        self._attempts[_place(body)] += 1
        effect = {**body, "attempt": self._attempts[_place(body)]}
        os.write(self._out, json.dumps(effect).encode() + b"\n")
        os.fsync(self._out)
        self._effects.append(effect)
        return effect


def _place(effect: Effect) -> tuple[str, str, str]:
    return effect["run"], effect["stage"], effect["call"]


if __name__ == "__main__":
    asyncio.run(_Server(Path(sys.argv[1])).serve())
