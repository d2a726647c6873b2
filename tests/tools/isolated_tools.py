"""Tools that do to their process what no tool should: for tests of isolation. Imported by name in other processes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from runtime.errors import ToolFailed, ToolInDoubt
from runtime.tools.files import attached
from runtime.tools.tool import Citation, ToolContext, ToolResult, tool


@tool(isolate=True, kind="at_most_once")
def loses_touch() -> str:
    """Ask another server, and lose it."""
    raise ToolInDoubt("the bank hung up")


@tool(isolate=True)
def where(context: ToolContext) -> str:
    """Say where it runs and for whom."""
    context.emit("progress", {"done": 0.5})
    context.emit("unsendable", object())
    context.emit("progress", {"done": 1.0})
    print("a tool may print what it likes: it is no frame")
    return f"{os.getpid()} {context.run_id} {context.stage} {context.idempotency_key} {context.data_dir}"


@tool(isolate=True)
async def cite(word: str) -> ToolResult:
    """Cite."""
    return ToolResult(f"[1] {word}", (Citation("T", "a.md:1", word),))


@tool(isolate=True)
def draw() -> ToolResult:
    """Draw."""
    return ToolResult("Here.", attachments=(attached(b"\x89PNG\r\n\x1a\n...", "image/png", "map.png"),))


@tool(isolate=True, name="fails_in_words")
def _fails(loud: bool) -> str:
    """Fail."""
    if loud:
        raise ToolFailed("the shop is closed")
    raise SystemExit(3)


@tool(isolate=True)
def crash(how: str) -> str:
    """Crash."""
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "close":
            os.closerange(3, 64)
            os._exit(0)
    return "alive"


@tool(isolate=True, timeout_s=0.5)
def spin(mark: str) -> str:
    """Hold the interpreter's lock in C for ever, with a child of its own beside it."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    _note(mark, f"{os.getpid()} {child.pid}")
    return str(sum(range(10**15)))


@tool(isolate=True, timeout_s=1000)
def wait(mark: str) -> str:
    """Wait for ever."""
    _note(mark, f"{os.getpid()}")
    time.sleep(1000)
    return ""


@tool(memory=128 * 1024 * 1024)
def eat(megabytes: int) -> str:
    """Eat memory."""
    return str(len(bytearray(megabytes * 1024 * 1024)))


@tool(isolate=True)
def leave_a_thread_behind() -> str:
    """Leave a thread that would keep a process for ever."""
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return str(os.getpid())


@tool(isolate=True, kind="idempotent", timeout_s=30)
def crash_until(mark: str, times: int, context: ToolContext) -> str:
    """Crash ``times`` times, then answer with the keys of every attempt."""
    with open(mark, "a") as file:
        file.write(context.idempotency_key + "\n")
    keys = Path(mark).read_text().split()
    if len(keys) <= times:
        os._exit(9)
    return " ".join(keys)


@tool(isolate=True, kind="at_most_once")
def effect_and_crash(mark: str) -> str:
    """Have an effect, then crash."""
    with open(mark, "a") as file:
        file.write("effect\n")
    os._exit(9)


def _note(mark: str, words: str) -> None:
    whole = Path(f"{mark}.part")
    whole.write_text(words)
    whole.rename(mark)
