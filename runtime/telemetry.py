"""Counters and log lines, without a library behind them yet: a thin place for one.

What leaves a process beside the events (log lines, tracebacks, error answers, what tools say of their failures) is guarded: a
process that knows secrets says once how they are taken out.
"""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Redact = Callable[[str], str]
"""Gives a text without secrets."""

_guards: list[Redact] = []


def logger(name: str) -> logging.Logger:
    """The logger of one room: ``headrace.<name>``."""
    return logging.getLogger(f"headrace.{name}")


def guard(redact: Redact) -> None:
    """From now on every log record of this process, also of libraries, and every :func:`guarded` text goes through ``redact``."""
    _guards.append(redact)
    current = logging.getLogRecordFactory()
    if not isinstance(current, _GuardedRecords):
        logging.setLogRecordFactory(_GuardedRecords(current))


@contextmanager
def guarding(redact: Redact) -> Iterator[None]:
    """The same for the length of the context."""
    guard(redact)
    try:
        yield
    finally:
        _guards.remove(redact)


def guarded(text: str) -> str:
    """``text`` without the secrets that this process knows."""
    for redact in _guards:
        text = redact(text)
    return text


class _GuardedRecords:
    """Makes log records without secrets: before any handler has seen them."""

    def __init__(self, factory: Callable[..., logging.LogRecord]) -> None:
        self._factory = factory

    def __call__(self, *args: object, **kwargs: object) -> logging.LogRecord:
        record = self._factory(*args, **kwargs)
        if _guards:
            _clean_message(record)
            _clean_traceback(record)
        return record


def _clean_message(record: logging.LogRecord) -> None:
    try:
        said = record.getMessage()
    except Exception:  # a line that does not fit its arguments: logging itself tells of it, arguments and all
        record.args = None
        record.msg = guarded(str(record.msg))
        return
    clean = guarded(said)
    if clean == said:
        return
    if isinstance(record.args, tuple):  # some formatters want them apart
        record.args = tuple(guarded(arg) if isinstance(arg, str) else arg for arg in record.args)
        if record.getMessage() == clean:
            return
    record.msg, record.args = clean, None


def _clean_traceback(record: logging.LogRecord) -> None:
    if record.stack_info:
        record.stack_info = guarded(record.stack_info)
    if not isinstance(record.exc_info, tuple) or record.exc_info[0] is None:
        return
    told = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    clean = guarded(told)
    if clean != told:
        record.exc_text, record.exc_info = clean, None


class Counts:
    """Counts by name, read as a plain dictionary: how often each kind of recovery happened, and the like."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, by: int = 1) -> None:
        self._counts[name] += by

    def add_all(self, names: Iterable[str]) -> None:
        """One more of each."""
        self._counts.update(names)

    def snapshot(self) -> dict[str, int]:
        return dict(self._counts)
