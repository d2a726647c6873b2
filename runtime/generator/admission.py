"""From a valid request to a run that can be created: its documents, its idempotency, its first event."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from math import floor

import orjson

from runtime.config import Settings
from runtime.events.catalog import Limits, RunAccepted, RunInput
from runtime.events.codec import encode
from runtime.events.envelope import Draft
from runtime.generator.contract import Body, FieldError, OnDisconnect
from runtime.generator.following import Before
from runtime.generator.problems import Refusal
from runtime.generator.requests import CreateRun
from runtime.log.log import NewRun
from runtime.tenancy import TenantLimits

QUESTION_CHARS = 200
"""Of the question, kept beside the run for lists."""
IDEMPOTENCY_KEY_CHARS = 255
"""SECURITY.md 1."""


def idempotency_key(headers: Sequence[str]) -> str | None:
    """The key in all ``Idempotency-Key`` headers, if any. Raises ``Refusal`` 400 ``invalid_idempotency_key``."""
    if not headers:
        return None
    key = headers[0]
    fits = 1 <= len(key) <= IDEMPOTENCY_KEY_CHARS and key.isascii() and key.isprintable()
    if len(headers) > 1 or not fits:
        detail = f"Idempotency-Key is given once, as 1 to {IDEMPOTENCY_KEY_CHARS} printable ASCII characters."
        raise Refusal(400, "invalid_idempotency_key", detail)
    return key


def documents_folder(asked: str | None, settings: Settings, tenant_id: str) -> str | None:
    """The absolute folder a run may search. Touches the file system, so call it off the event loop.

    In development mode any folder this process can read may be asked for; else only those below ``document_roots``,
    links followed; ``{tenant}`` in one of them stands for ``tenant_id``. Raises ``Refusal`` 422 ``documents_not_found``.
    """
    if asked is None:
        return None if settings.documents is None else str(settings.documents)
    folder = os.path.realpath(os.path.expanduser(asked))
    if (
        not _allowed(folder, settings, tenant_id)
        or not os.path.isdir(folder)
        or not os.access(folder, os.R_OK | os.X_OK)
    ):
        detail = (
            f"documents {asked[:200]!r} is not a folder this server can read; name an existing folder on the server's "
            "machine, or leave 'documents' out."
        )
        raise Refusal(422, "documents_not_found", detail, [FieldError(pointer="/documents", detail=detail)])
    return folder


def admit(
    body: CreateRun,
    before: Before,
    *,
    tenant_id: str,
    run_id: str,
    conversation_id: str,
    now: float,
    documents: str | None,
    default: OnDisconnect,
    key: str | None,
    share: TenantLimits,
) -> NewRun:
    """The run ``body`` asks for after what was ``before``, with ``run.accepted`` as its first record.

    ``default`` is its ``on_disconnect``, ``share`` what its tenant may use.
    """
    accepted = RunAccepted(
        input=RunInput(
            question=body.input,
            documents=documents,
            metadata=body.metadata,
            attachments=tuple(attachment.kept() for attachment in body.attachments),
        ),
        limits=Limits(deadline_s=body.deadline_s, budget_usd=body.budget_usd),
        conversation_id=conversation_id,
        on_disconnect=body.on_disconnect or default,
        grace_s=body.grace_s,
        title=before.title,
        history=before.history,
        approve_plan=body.approve_plan,
    )
    named = None if key is None else (key, fingerprint(body))
    new = new_run(accepted, (), tenant_id=tenant_id, run_id=run_id, now=now, key=named, share=share)
    return replace(new, follows=before.follows)


def new_run(
    accepted: RunAccepted,
    drafts: Sequence[Draft],
    *,
    tenant_id: str,
    run_id: str,
    now: float,
    key: tuple[str, str] | None,
    share: TenantLimits,
) -> NewRun:
    """A run that begins with ``accepted`` and then ``drafts``; ``key`` is its idempotency key and what was asked with it."""
    name, asked = (None, None) if key is None else key
    return NewRun(
        run_id=run_id,
        tenant_id=tenant_id,
        conversation_id=accepted.conversation_id,
        question=accepted.input.question[:QUESTION_CHARS],
        deadline_s=accepted.limits.deadline_s,
        on_disconnect=accepted.on_disconnect,
        grace_s=accepted.grace_s,
        records=tuple(encode(draft, run_id, now) for draft in (Draft(accepted), *drafts)),
        idempotency_key=name,
        idempotency_hash=asked,
        budget=limit_micro_usd(accepted.limits.budget_usd),
        day_budget=limit_micro_usd(share.daily_budget_usd),
        most_runs=share.runs_in_flight,
    )


def limit_micro_usd(usd: float | None) -> int | None:
    """A limit in millionths of a US dollar, rounded down: what is spent is rounded up, so the limit is never exceeded."""
    return None if usd is None else floor(round(usd * 1_000_000, 3))


def fingerprint(body: Body, about: str = "") -> str:
    """SHA-256 of what is asked for; key order, white space and spelled-out defaults make no difference.

    ``about`` is what the path adds to the body: the same key under another path asks for something else.
    """
    asked = orjson.dumps([about, body.model_dump(mode="json")], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(asked).hexdigest()


def _allowed(folder: str, settings: Settings, tenant_id: str) -> bool:
    if settings.auth == "none":  # development mode: Settings binds it to loopback
        return True
    own = (os.path.realpath(str(root).replace("{tenant}", tenant_id)) for root in settings.document_roots)
    return any(os.path.commonpath([folder, root]) == root for root in own)
