"""Writes a folder of many mixed documents with known facts: ``python -m tests.evaluation.many FOLDER``.

Forty stations on a coast have five documents each: an overview in Markdown, a maintenance plan as text, a contract as HTML, a
survey as PDF and notes in Markdown. All stations have the same kinds of facts, so that finding the right one is work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.evaluation.pdf import pdf

_FIRST = ("Arn", "Bel", "Dor", "Fen", "Gry", "Hal", "Isk", "Jor")
_SECOND = ("holm", "vik", "sund", "ness", "fjell")
STATIONS = tuple(f"{first}{second}" for first in _FIRST for second in _SECOND)
"""Forty names."""


@dataclass(frozen=True, slots=True)
class Station:
    """One station's facts; no two stations share all of them."""

    name: str
    number: int

    @property
    def pump(self) -> int:
        """Litres a minute."""
        return 30 + 7 * self.number

    @property
    def inspection(self) -> int:
        """Weeks between two inspections."""
        return 2 + self.number % 23

    @property
    def rent(self) -> int:
        """Euro a year."""
        return 1000 + 130 * self.number

    @property
    def seals(self) -> int:
        """Counted on the shore."""
        return 11 + 3 * self.number

    @property
    def keeper(self) -> str:
        return f"{_FIRST[self.number % 8]}ne {_SECOND[self.number // 8 % 5].title()}{'aeiou'[self.number % 5]}"


def stations() -> tuple[Station, ...]:
    """All of them."""
    return tuple(Station(name, number) for number, name in enumerate(STATIONS))


def documents(station: Station) -> Iterator[tuple[str, bytes]]:
    """The five documents of a station: path and content."""
    name = station.name
    folder = name.lower()
    yield f"{folder}/overview.md", _OVERVIEW.format(s=station).encode()
    yield f"{folder}/maintenance.txt", _MAINTENANCE.format(s=station, title=f"MAINTENANCE OF {name.upper()}").encode()
    yield f"{folder}/contract.html", _CONTRACT.format(s=station).encode()
    yield f"{folder}/survey.pdf", pdf([text.format(s=station) for text in _SURVEY], f"Survey of the {name} shore")
    yield f"{folder}/notes.md", _NOTES.format(s=station).encode()


def write(folder: Path) -> int:
    """Write all documents into ``folder``; how many."""
    written = 0
    for station in stations():
        for path, content in documents(station):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            written += 1
    return written


_OVERVIEW = """# {s.name} station

The {s.name} station stands on the coast and measures tides. Its keeper is {s.keeper}.

## Water supply

The pump of the {s.name} station delivers {s.pump} litres a minute. It is driven by a wind wheel, and by hand in a calm.

## Access

The station is reached by boat from the pier. The path along the cliff is closed from November to March.
"""

_MAINTENANCE = """{title}

Inspection
The {s.name} station is inspected every {s.inspection} weeks. The inspector
looks at the mast, the tide well and the batteries, and writes down what has
to be mended before the winter.

Painting
The mast is painted every third summer with white paint.
"""

_CONTRACT = """<!doctype html>
<html><head><title>Contract for the ground of {s.name}</title></head><body>
<h1>Contract for the ground of {s.name}</h1>
<h2>Rent</h2>
<p>The rent for the ground of the {s.name} station is {s.rent} euro a year. It is due on the first of February.</p>
<h2>Notice</h2>
<p>Either side may give notice one year ahead.</p>
</body></html>
"""

_SURVEY = (
    "Survey of the {s.name} shore\n\nThis survey was made for the county. It covers two kilometres on both sides of the station.",
    "Seals\n\nOn the shore of {s.name} {s.seals} seals were counted in June. The count was made from a boat.",
)

_NOTES = """# Notes from {s.name}

- The radio of the {s.name} station is switched on at seven in the morning.
- Visitors are asked to write their names into the book.
- Firewood lies behind the shed, enough for one winter.
"""


def main() -> int:
    """Write them into the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tests.evaluation.many FOLDER\n")
        return 2
    print(f"{write(Path(sys.argv[1]))} documents in {sys.argv[1]}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
