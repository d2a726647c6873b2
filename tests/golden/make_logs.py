"""Writes the logs of :mod:`tests.golden.scenarios` that are not there yet: ``python -m tests.golden.make_logs``.

``--force NAME ...`` writes those anew (``--force all``: every one). A log that another release wrote is first put aside as
``NAME.RELEASE.jsonl``: it stays, and is replayed for ever; only the newest of a name is compared with what is written now.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import __version__
from runtime.events.envelope import Stored
from runtime.log.log import FORMAT_VERSION, Run
from tests.golden.scenarios import EFFECTS, SCENARIOS, log_of
from tests.virtual_time import VirtualLoop

LOGS = Path(__file__).parent / "logs"


@dataclass(frozen=True)
class GoldenLog:
    """One run as a release wrote it."""

    release: str
    format_version: int
    run: dict[str, Any]
    """The columns of its row."""
    events: tuple[Stored, ...]

    def dump(self) -> str:
        """A line for the run and one for each event, bodies as they are stored."""
        head = {"release": self.release, "format_version": self.format_version, "run": self.run}
        rows = [{**e._asdict(), "body": e.body.decode()} for e in self.events]
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [head, *rows])

    @classmethod
    def load(cls, path: Path) -> GoldenLog:
        head, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        events = tuple(Stored(**{**row, "body": row["body"].encode()}) for row in rows)
        return cls(head["release"], head["format_version"], head["run"], events)


def make(name: str) -> GoldenLog:
    """Play a scenario."""

    async def played() -> tuple[Run, list[Stored]]:
        scenario = SCENARIOS[name]
        rig = scenario.rig()
        await rig.put_hub()
        await rig.put_process()
        try:
            await scenario.play(rig)
            return await log_of(rig, scenario.run_id)
        finally:
            await rig.close()

    EFFECTS.clear()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        run, events = runner.run(played())
    assert run.terminal == SCENARIOS[name].finished, f"{name} ends {run.status}"
    return GoldenLog(__version__, FORMAT_VERSION, dataclasses.asdict(run), tuple(events))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write what is missing, and what is forced."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--force", nargs="+", default=[], metavar="NAME", choices=[*SCENARIOS, "all"])
    forced = set(parser.parse_args(arguments).force)
    logging.disable(logging.CRITICAL)
    LOGS.mkdir(exist_ok=True)
    for name in SCENARIOS:
        path = LOGS / f"{name}.jsonl"
        if path.exists():
            if not forced & {name, "all"}:
                continue
            if (release := GoldenLog.load(path).release) != __version__:
                path.rename(LOGS / f"{name}.{release}.jsonl")
        golden = make(name)
        path.write_text(golden.dump(), encoding="utf-8")
        print(f"{path.name}: {len(golden.events)} events, {golden.run['status']}")


if __name__ == "__main__":
    main()
