"""The other side of an isolated call: import the tool, run it, say what comes of it.

``prepare`` is shared by every kind of process. ``python -m runtime.tools.worker`` is one call's whole process: the call
comes on standard input, frames go out on what was standard output, each behind its length; whatever the tool itself
prints goes to standard error. Whoever started the process kills it when it has the answer, and it ends with its parent.
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import os
import resource
import signal
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from traceback import format_exception
from typing import Any

from runtime.errors import ConfigurationError, ToolInDoubt
from runtime.telemetry import logger
from runtime.tools.answers import MAX_RESULT_BYTES, Unfit, bounded, result_of, values_of, what_failed
from runtime.tools.call import Call, Frame, decode_call, find_tool
from runtime.tools.tool import Tool, ToolContext, ToolResult

HEADER = struct.Struct("!I")
"""The length of a frame."""
BEGUN = Frame("begun").encode()
MAX_TRACE = 16 * 1024
"""Characters of a traceback: its end says what happened."""
_PR_SET_PDEATHSIG = 1

_log = logger("tools")

Say = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Ready:
    """A call that can be run: imported, its arguments fitting."""

    call: Call
    tool: Tool
    values: dict[str, Any]

    def run(self, say: Say) -> None:
        """Run the tool in this thread; ``say`` hears its own events and, last, its answer. Raises only ``ToolInDoubt``."""
        limit_memory(self.call.memory)
        values = dict(self.values)
        if self.tool.context_parameter is not None:
            values[self.tool.context_parameter] = self._context(say)
        try:
            frame = _answer(result_of(_executed(partial(self.tool.function, **values))), is_error=False)
        except ToolInDoubt:
            raise  # without an answer: the process dies, and its call is in doubt
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            frame = _failure(self.tool, error)
        for printed in (sys.stdout, sys.stderr):
            with suppress(ValueError, OSError):  # the tool has closed it
                printed.flush()
        say(frame)

    def _context(self, say: Say) -> ToolContext:
        call = self.call
        return ToolContext(
            run_id=call.run_id,
            stage=call.stage,
            documents=call.documents,
            data_dir=call.data_dir,
            agent=call.agent,
            emit=partial(_emit, say, self.tool.name),
            idempotency_key=call.idempotency_key,
        )


def prepare(data: bytes) -> Ready | bytes:
    """The call in ``data`` ready to run, or the frame that says why it is not run."""
    call = decode_call(data)
    try:
        tool = find_tool(call.module, call.tool)
        return Ready(call, tool, values_of(tool, call.arguments))
    except (Unfit, ConfigurationError) as error:
        return Frame("refused", str(error)).encode()


def limit_memory(more: int | None) -> None:
    """Let this process allocate ``more`` bytes beyond what it has; None: no limit. Linux only, as is ``/proc``."""
    statm = Path("/proc/self/statm")
    if more is None or not statm.exists():
        return
    data_pages = int(statm.read_text().split()[5])  # proc(5): data + stack, in pages
    limit = data_pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _executed(function: Callable[[], Any]) -> Any:
    value = function()
    return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value


async def _awaited(value: Any) -> Any:
    return await value


def _answer(result: ToolResult, *, is_error: bool) -> bytes:
    citations = [(c.title, c.location, c.quote) for c in result.citations]
    # With room to spare: whoever hears it takes the secrets out, which are not known here, and cuts after that.
    text = bounded(result.text, 2 * MAX_RESULT_BYTES)
    files = [one.model_dump() for one in result.attachments]
    return Frame("answer", text, is_error=is_error, citations=citations, attachments=files).encode()


def _failure(tool: Tool, error: BaseException) -> bytes:
    if isinstance(error, Unfit):
        return _answer(ToolResult(str(error)), is_error=True)
    trace = "".join(format_exception(error))
    if len(trace) > MAX_TRACE:
        trace = trace[-MAX_TRACE:].partition("\n")[2]
    text = bounded(what_failed(tool, error), 2 * MAX_RESULT_BYTES)
    return Frame("answer", text, is_error=True, trace=trace).encode()


def _emit(say: Say, tool: str, name: str, value: Any) -> None:
    try:
        frame = Frame("custom", name, value).encode()
    except (TypeError, ValueError, RecursionError) as error:  # it costs only itself, as in the agent's own process
        _log.error("an event of tool %s was not sent: %s: %s", tool, name, error)
        return
    say(frame)


# --- a process for one call ------------------------------------------------------------------------------------------


def main() -> None:
    """Run the call on standard input."""
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _die_with(int(sys.argv[1]))
    _be_first_to_go()
    lock = threading.Lock()

    def say(frame: bytes) -> None:
        with lock:  # a tool may emit from any thread
            frames.write(HEADER.pack(len(frame)) + frame)
            frames.flush()

    ready = prepare(sys.stdin.buffer.read())
    if isinstance(ready, Ready):
        say(BEGUN)
        ready.run(say)
    else:
        say(ready)


def _die_with(parent: int) -> None:
    """Let the kernel kill this process with the one that started it (Linux)."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent:  # it was gone before
        os._exit(1)


def _be_first_to_go() -> None:
    """When memory runs out, the kernel takes this process before any other of ours."""
    score = Path("/proc/self/oom_score_adj")
    if score.exists():
        score.write_text("1000")


if __name__ == "__main__":
    main()
