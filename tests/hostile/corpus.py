"""All cases, in a fixed order."""

from __future__ import annotations

from tests.hostile import corpus_api, corpus_json, corpus_requests, corpus_wire
from tests.hostile.case import Case


def corpus() -> list[Case]:
    """More than 500 cases; each has a name of its own."""
    found = [*corpus_wire.cases(), *corpus_requests.cases(), *corpus_json.cases(), *corpus_api.cases()]
    names = [one.id for one in found]
    assert len(set(names)) == len(names), sorted({name for name in names if names.count(name) > 1})
    return found
