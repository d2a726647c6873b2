"""What people are asked, as AG-UI's interrupts, and their answers (``resume``) as what the native API's ``input`` takes.

An interrupt's id says which run asks, what exactly (by its hash) and under which name, so an answer can only be to that.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from ag_ui.core import types as agt
from pydantic import ValidationError

from runtime.events import catalog as ev
from runtime.generator.protocols.ag_ui.mistakes import refused
from runtime.generator.requests import Approve, PersonInput
from runtime.ids import is_run_id

_REASONS = {"plan": "confirmation", "tool": "tool_call", "question": "input_required"}
"""The protocol's own words for why a run stops."""

_TEXT = {"type": "string", "maxLength": 20_000}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "plan": {
        "type": "object",
        "properties": {
            "approved": {"type": "boolean"},
            "text": _TEXT,
            "plan": {"type": "object", "description": "Done instead: {todos: [{id, title, agent, depends_on}]}."},
        },
        "required": ["approved"],
    },
    "tool": {
        "type": "object",
        "properties": {"approved": {"type": "boolean"}, "text": _TEXT},
        "required": ["approved"],
    },
    "question": {"type": "object", "properties": {"text": {**_TEXT, "minLength": 1}}, "required": ["text"]},
}
"""What an answer looks like (``payload``)."""


class Asked(NamedTuple):
    """What an interrupt's id says."""

    run_id: str
    arguments_hash: str
    approval: str


def interrupt_of(
    run_id: str, asked: ev.ApprovalRequested, *, call_id: str | None, subagent: str | None
) -> agt.Interrupt:
    """One thing a person is asked; ``call_id`` is AG-UI's, of the call that waits."""
    schema = _SCHEMAS[asked.kind]
    if asked.options:
        text = {**schema["properties"]["text"], "examples": list(asked.options)}
        schema = {**schema, "properties": {**schema["properties"], "text": text}}
    about = asked.model_dump(
        mode="json", include={"approval", "kind", "name", "arguments", "arguments_hash", "reason", "options"}
    )
    return agt.Interrupt(
        id=f"{run_id}.{asked.arguments_hash}.{asked.approval}",
        reason=_REASONS[asked.kind],
        message=asked.what,
        tool_call_id=call_id,
        response_schema=schema,
        expires_at=datetime.fromtimestamp(asked.expires_at, UTC).isoformat(timespec="milliseconds"),
        subagent_run_id=subagent,
        metadata={"headrace": {"runId": run_id, **about}},
    )


def asked_in(interrupt_id: str, place: int) -> Asked:
    """What ``resume[place]`` answers. Raises ``Refusal`` 422."""
    run_id, _, rest = interrupt_id.partition(".")
    arguments_hash, _, approval = rest.partition(".")
    if not is_run_id(run_id) or not arguments_hash or not approval:
        raise refused(f"/resume/{place}/interruptId", "it is not the id of an interrupt of this server")
    return Asked(run_id, arguments_hash, approval)


def answer_of(entry: agt.ResumeEntry, asked: Asked, kind: str, place: int) -> PersonInput:
    """What ``resume[place]`` says to something of that ``kind``. Raises ``Refusal`` 422."""
    approval, hashed = asked.approval, asked.arguments_hash
    if entry.status == "cancelled":
        return PersonInput(Approve(type="approve", approval=approval, arguments_hash=hashed, approved=False))
    payload = entry.payload
    if kind == "question":
        given = {"text": payload} if isinstance(payload, str) else payload
        body: Any = {"type": "answer", "approval": approval}
        allowed = {"text"}
    else:
        given = {"approved": payload} if isinstance(payload, bool) else payload
        body = {"type": "approve", "approval": approval, "arguments_hash": hashed}
        allowed = {"approved", "text", "plan"} if kind == "plan" else {"approved", "text"}
    if not isinstance(given, dict) or not given.keys() <= allowed or (kind != "question" and "approved" not in given):
        words = f"an answer to this is an object with {', '.join(sorted(allowed))}; see its responseSchema"
        raise refused(f"/resume/{place}/payload", words)
    try:
        return PersonInput.model_validate({**body, **given})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = "/".join(str(part) for part in first["loc"][1:])
        raise refused(f"/resume/{place}/payload/{where}"[:200], first["msg"]) from error
