"""The command line, ``headrace``: starts a system, asks it, shows what happens.

Rules: options live in ``app``, one command's doing in one module; what is drawn (``view``, ``ending``, ``plain``)
is pure and folds the same events as everyone else; a failure is one clear sentence with its remedy and an exit code.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command in ``sys.argv``; always leaves with ``SystemExit``."""
    from runtime.cli.app import app  # here: a child of ``serve`` imports this package for ``bond`` alone

    try:
        app(prog_name="headrace")
    except KeyboardInterrupt:
        sys.exit(130)
