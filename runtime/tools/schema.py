"""Arguments held against a JSON Schema that is not ours, such as an MCP server's.

The schema is another's data: it fetches nothing (references lead nowhere but into itself) and runs no regular expression, which
could be made to take for ever. What cannot be judged here is left to whoever runs the tool.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry

from runtime.telemetry import guarded


def _ignored(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Any throughout: it is any JSON."""
    return iter(())


def _additional(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Judged only where no regular expression takes part."""
    if "patternProperties" not in schema:
        yield from Draft202012Validator.VALIDATORS["additionalProperties"](validator, value, instance, schema)


_extend: Any = extend  # untyped in its library
_Validator: Any = _extend(
    Draft202012Validator,
    {
        "pattern": _ignored,
        "patternProperties": _ignored,
        "unevaluatedProperties": _ignored,
        "additionalProperties": _additional,
    },
)
"""Any: the class is made at run time."""


def mistakes(schema: dict[str, Any], arguments: dict[str, Any], most: int) -> list[str]:
    """What does not fit, one line each, at most ``most``."""
    found: list[str] = []
    try:
        for error in _Validator(schema, registry=Registry()).iter_errors(arguments):
            where = ".".join(str(part) for part in list(error.absolute_path)[:6]) or "arguments"
            found.append(guarded(f"- {where}: {error.message}")[:300])
            if len(found) == most:
                break
    except Exception:  # of whatever kind: the schema itself is wrong, or refers to something that is not in it
        return []
    return found
