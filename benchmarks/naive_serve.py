"""Starts the naive application: ``python -m benchmarks.naive_serve --script FILE --data DIR --port N``.

Apart from it because Ray reads its environment while it is imported; it gets the same one as ours.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from actors.environment import prepare


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    prepare(given.data)
    from benchmarks.naive_app import run

    run(given.script.read_text(encoding="utf-8"), given.port)


if __name__ == "__main__":
    main()
