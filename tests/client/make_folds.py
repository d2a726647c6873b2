"""Writes tests/fixtures/folds: logs, and what a client shows after them. ``python -m tests.client.make_folds``

Both clients' folds (runtime/client/fold.py, web/src/headrace/fold.ts) are held to these files. Look at the difference
before you commit it: it is what clients will see.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runtime.client.events import parse_event
from runtime.client.fold import reduce
from runtime.client.view import RunView
from runtime.events.codec import public_json
from tests.client.fold_logs import LOGS
from tests.golden import make_logs

FOLDS = Path(__file__).parents[1] / "fixtures" / "folds"
OLDER = ("completed.format2",)
"""Logs of an older release that are held to account as well; of the others the newest is enough."""


def golden_lines(name: str) -> list[str]:
    """A golden log as clients get it."""
    golden = make_logs.GoldenLog.load(make_logs.LOGS / f"{name}.jsonl")
    return [public_json(event).decode() for event in golden.events]


def every_log() -> dict[str, tuple[str, list[str], int]]:
    """What it is about, its lines, and after how many events each the view is written down, by the name of its file."""
    names = sorted(path.stem for path in make_logs.LOGS.glob("*.jsonl"))
    kept = [name for name in names if "." not in name or name in OLDER]
    golden = {f"golden_{name}": (f"The golden log {name}.", golden_lines(name)) for name in kept}
    logs = {name: (about, lines, max(1, (len(lines) + 2) // 3)) for name, (about, lines) in golden.items()}
    return logs | {name: (about, make(), 5) for name, (about, make) in LOGS.items()}


def fold_of(about: str, lines: list[str], every: int) -> dict[str, Any]:
    """The content of one file."""
    view, views = RunView(), {}
    for number, line in enumerate(lines, 1):
        view = reduce(view, parse_event(line))
        if number % every == 0 or number == len(lines):
            views[str(number)] = view.as_json()
    return {"about": about, "events": [json.loads(line) for line in lines], "views": views}


def dump(fold: dict[str, Any]) -> str:
    """One line for each event and view, so that a difference shows which."""
    events = ",\n".join(json.dumps(event, ensure_ascii=False) for event in fold["events"])
    views = ",\n".join(f'"{after}": {json.dumps(view, ensure_ascii=False)}' for after, view in fold["views"].items())
    return f'{{"about": {json.dumps(fold["about"])},\n"events": [\n{events}\n],\n"views": {{\n{views}\n}}}}\n'


def main() -> None:
    FOLDS.mkdir(parents=True, exist_ok=True)
    logs = every_log()
    for path in FOLDS.glob("*.json"):
        if path.stem not in logs:
            path.unlink()
    for name, (about, lines, every) in logs.items():
        (FOLDS / f"{name}.json").write_text(dump(fold_of(about, lines, every)), encoding="utf-8")
    print(f"{len(logs)} folds in {FOLDS}")


if __name__ == "__main__":
    main()
