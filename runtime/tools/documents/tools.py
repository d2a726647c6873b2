"""The two tools agents have over a documents folder.

Their text formats are read by programs too (the agent loop renumbers passages, the offline model takes them apart):
``search_documents`` gives passages parted by one empty line, each ``[n] <location> | <title>`` and then text without
empty lines, of which none begins with ``[n] ``; ``read_document`` gives ``<location> | <title>``, then ``LINE: text``.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from pathlib import Path
from typing import Annotated

from pydantic import Field

from runtime.clock import Clock, SystemClock
from runtime.errors import ToolFailed
from runtime.tools.documents.index import Index, Progress
from runtime.tools.documents.passages import Passage
from runtime.tools.documents.reading import cut_lines, open_document
from runtime.tools.tool import Citation, ToolContext, ToolResult, tool

_RESCAN_S = 2.0
"""Least time between two looks for changed files, per folder and process: an agent searches several times in a row."""
_EMIT_S = 0.1
"""Least time between two progress events; a person sees no more than ten a second."""
_QUOTE = 300
"""Characters of a passage in its citation: enough to find it again."""
_LIKE_A_HEADER = re.compile(r"^(?=\[\d+\] )", re.MULTILINE)

Query = Annotated[str, Field(description="Words to look for; a few specific ones work best.")]
Limit = Annotated[int, Field(ge=1, le=20, description="Most passages to return.")]
DocumentName = Annotated[
    str,
    Field(
        description="Path in the folder, or a location from search_documents: guide.md, guide.md:120, paper.pdf#page=3."
    ),
]
StartLine = Annotated[
    int | None, Field(ge=1, description="First line to return; from the beginning, or the location's line, if absent.")
]
Lines = Annotated[int | None, Field(ge=1, le=200, description="How many lines to return; 200 at most, and if absent.")]


class Freshness:
    """When each folder was last compared with its index, in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._locks: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
        self._looked: dict[Path, float] = {}

    def refresh(self, index: Index, progress: Progress) -> None:
        """Update ``index`` unless that was done a moment ago; a second thread waits for the first."""
        with self._guard:
            lock = self._locks[index.path]
        with lock:
            looked = self._looked.get(index.path)
            if looked is None or self._clock.monotonic() - looked >= _RESCAN_S or not index.path.exists():
                index.update(progress)
                self._looked[index.path] = self._clock.monotonic()


def announced(context: ToolContext, clock: Clock) -> Progress:
    """A progress that emits ``indexing`` events at a readable rate, the last one always."""
    last = float("-inf")

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = clock.monotonic()
        if done == total or now - last >= _EMIT_S:
            last = now
            context.emit("indexing", {"done": done, "total": total})

    return progress


_CLOCK = SystemClock()
_FRESHNESS = Freshness(_CLOCK)


@tool(title="Search documents", kind="read", timeout_s=300.0)
def search_documents(query: Query, limit: Limit = 6, *, ctx: ToolContext) -> ToolResult:
    """Search the person's documents. Returns the passages that match best, each with its location and title. Cite a
    passage by its number. If nothing fits, try other words."""
    index = Index(_folder(ctx), Path(ctx.data_dir))
    _FRESHNESS.refresh(index, announced(ctx, _CLOCK))
    found = index.search(query, limit)
    if not found:
        return ToolResult(
            "No passage matches.\nTry fewer or other words, such as a synonym or a name used in the documents."
        )
    text = "\n\n".join(_shown(number, passage) for number, passage in enumerate(found, start=1))
    return ToolResult(text, tuple(Citation(p.title, p.location, _quote(p.text)) for p in found))


@tool(title="Read document", kind="read", timeout_s=120.0)
def read_document(
    document: DocumentName, start_line: StartLine = None, lines: Lines = None, *, ctx: ToolContext
) -> str:
    """Read a document of the person's folder, or a part of it, with line numbers. Use it to see what stands around a
    passage that search_documents found."""
    opened, first = open_document(_folder(ctx), document)
    return cut_lines(opened, start_line if start_line is not None else first, lines)


def _folder(context: ToolContext) -> Path:
    if not context.documents:
        raise ToolFailed(
            "no documents folder was named for this run, so there is nothing to search; answer without documents"
        )
    folder = Path(context.documents)
    if not folder.is_dir():
        raise ToolFailed(f"the documents folder {context.documents!r} does not exist or is no folder")
    return folder.resolve()


def _shown(number: int, passage: Passage) -> str:
    return f"[{number}] {passage.location} | {passage.title}\n{_LIKE_A_HEADER.sub(' ', passage.text)}"


def _quote(text: str) -> str:
    """The beginning of ``text``, whole words of it."""
    if len(text) <= _QUOTE:
        return text
    end = text.rfind(" ", _QUOTE // 2, _QUOTE)
    return text[: end if end > 0 else _QUOTE].rstrip()
