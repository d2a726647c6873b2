"""Every change of an event's shape shows in a diff.

After a change that is meant: ``HEADRACE_UPDATE_GOLDEN=1 python -m pytest tests/events/test_catalog_golden.py``, look at the
diff of ``tests/golden/events.json``, and raise ``SCHEMA_VERSION`` when the meaning of an event that is already stored changed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from runtime.events import catalog
from runtime.events.catalog import EVENT, SCHEMA_VERSION
from tests.events.samples import EVENT_TYPES

GOLDEN = Path(__file__).parents[1] / "golden" / "events.json"
RECIPE = "if the change is meant, run with HEADRACE_UPDATE_GOLDEN=1 and read the diff"


def described() -> dict[str, Any]:
    """Version, families and JSON Schema of every type, prose left out."""
    events = {kind.model_fields["type"].default: kind for kind in EVENT_TYPES}
    return {
        "schema_version": SCHEMA_VERSION,
        "families": {name: kind.family for name, kind in sorted(events.items())},
        "events": {name: _shape(kind.model_json_schema()) for name, kind in sorted(events.items())},
    }


def _shape(schema: Any) -> Any:
    if isinstance(schema, dict):
        prose = ("description", "title") if "type" in schema or "$ref" in schema or "properties" in schema else ()
        return {
            key: {name: _shape(one) for name, one in value.items()} if key in ("properties", "$defs") else _shape(value)
            for key, value in schema.items()
            if not (key in prose and isinstance(value, str))
        }
    return [_shape(one) for one in schema] if isinstance(schema, list) else schema


def test_the_shape_of_every_event_is_the_golden_one() -> None:
    now = json.dumps(described(), indent=1, sort_keys=True) + "\n"
    if os.environ.get("HEADRACE_UPDATE_GOLDEN"):
        GOLDEN.write_text(now, encoding="utf-8")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert set(json.loads(now)["events"]) == set(golden["events"]), f"event types came or went; {RECIPE}"
    for name, shape in golden["events"].items():
        assert json.loads(now)["events"][name] == shape, f"{name} has another shape; {RECIPE}"
    assert json.loads(now) == golden, RECIPE


def test_the_union_holds_every_class_with_a_type() -> None:
    typed = {
        kind
        for kind in vars(catalog).values()
        if isinstance(kind, type) and issubclass(kind, catalog.EventData) and "type" in kind.model_fields
    }
    assert typed == set(EVENT_TYPES), "an event class is missing in Event, and cannot be read back"
    mapping = EVENT.json_schema()["discriminator"]["mapping"]
    assert set(mapping) == {kind.model_fields["type"].default for kind in EVENT_TYPES}
