"""What a process says beside its events holds no secret: lines, their arguments, tracebacks."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from runtime.stream.redactor import Redactor
from runtime.telemetry import guarded, guarding

SECRET = "open-sesame"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    logging.getLogger("library").addHandler(handler)
    with guarding(Redactor([SECRET]).text):
        yield written
    logging.getLogger("library").removeHandler(handler)


def test_a_librarys_line_and_its_arguments_are_guarded(lines: io.StringIO) -> None:
    logging.getLogger("library").warning("%s and %d: %r", f"key={SECRET}", 7, {"a": SECRET})
    assert lines.getvalue() == "library key=[redacted] and 7: {'a': '[redacted]'}\n"


def test_arguments_stay_apart_for_who_wants_them_so(lines: io.StringIO) -> None:
    seen: list[logging.LogRecord] = []
    spy = logging.Handler()
    spy.emit = seen.append  # type: ignore[method-assign]
    logging.getLogger("library").addHandler(spy)
    logging.getLogger("library").warning("%s %d", f"GET /?key={SECRET}", 200)
    logging.getLogger("library").removeHandler(spy)
    assert seen[0].args == ("GET /?key=[redacted]", 200)


def test_a_secret_that_only_message_and_arguments_make_together_is_found(lines: io.StringIO) -> None:
    logging.getLogger("library").warning("open-%s, 100 %%", "sesame")
    assert lines.getvalue() == "library [redacted], 100 %\n"


def test_tracebacks_are_guarded_with_their_causes(lines: io.StringIO) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as cause:
            raise RuntimeError(f"it was {SECRET}") from cause
    except RuntimeError:
        logging.getLogger("library").exception("failed")
    text = lines.getvalue()
    assert SECRET not in text
    assert "KeyError: '[redacted]'" in text and "RuntimeError: it was [redacted]" in text and "Traceback" in text


def test_a_line_that_does_not_fit_its_arguments_shows_none_of_them(lines: io.StringIO) -> None:
    logging.getLogger("library").warning("%d is no number", SECRET)
    assert lines.getvalue() == "library %d is no number\n"


def test_a_guard_ends_with_its_context(lines: io.StringIO) -> None:
    with guarding(lambda text: text.replace("more", "less")):
        assert guarded(f"more {SECRET}") == "less [redacted]"
    assert guarded(f"more {SECRET}") == "more [redacted]"
