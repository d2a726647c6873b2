"""How a command ends badly: one clear sentence on stderr, and an exit code that says whose turn it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import ConfigurationError, HeadraceError, InvalidRequest, NotFound

FAILED = 1
MISUSED = 2
"""The command itself is wrong: a setting, a folder, an option."""


class Leave(SystemExit):
    """The command ends here, with this exit code."""


def fail(sentence: str, code: int = FAILED) -> Leave:
    """Print one sentence on stderr; raise what this returns."""
    sys.stderr.write(f"headrace: {sentence}\n")
    sys.stderr.flush()
    return Leave(code)


@contextmanager
def told() -> Iterator[None]:
    """Our errors inside become one sentence and an exit code; everything else is a bug and stays a traceback."""
    try:
        yield
    except (ConfigurationError, InvalidRequest) as error:
        raise fail(error.message, MISUSED) from error
    except NotFound as error:
        raise fail(f"{error.message} (is the run's id right? `headrace runs` lists what there is)") from error
    except HeadraceError as error:
        again = " (trying again may help)" if error.retryable else ""
        raise fail(f"{error.message}{again}") from error


def folder(path: Path | None) -> Path | None:
    """The absolute path of a documents folder; leaves with a sentence when there is none."""
    if path is None:
        return None
    found = path.expanduser().absolute()
    if not found.exists():
        raise fail(f"the documents folder {str(path)!r} does not exist; name an existing folder with --docs", MISUSED)
    if not found.is_dir():
        raise fail(f"{str(path)!r} is a file; --docs takes the folder the documents are in", MISUSED)
    return found
