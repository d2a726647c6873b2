"""From an ended run to a new one that carries over what was completed: ``POST /v1/runs/{id}/resume`` without HTTP."""

from __future__ import annotations

from collections.abc import Collection

from runtime.errors import Conflict
from runtime.events.catalog import RunAccepted
from runtime.events.fold import RunState
from runtime.executor.resume import Carried, Mistake, Mistakes, Unresumable, carry_over
from runtime.generator.admission import fingerprint, new_run
from runtime.generator.contract import FieldError, OnDisconnect
from runtime.generator.problems import Refusal
from runtime.generator.requests import ResumeRun
from runtime.log.log import NewRun
from runtime.tenancy import TenantLimits


def fork(
    parent: RunState,
    body: ResumeRun,
    *,
    agents: Collection[str],
    tenant_id: str,
    run_id: str,
    conversation_id: str | None,
    now: float,
    default: OnDisconnect,
    key: str | None,
    share: TenantLimits,
) -> NewRun:
    """The run ``body`` asks for after ``parent``, which has ended; all it carries over is in its first records.

    Raises ``Conflict('...', 'not_resumable')``, and ``Refusal`` 422 ``validation_failed`` with a pointer to each mistake.
    """
    named = None if key is None else (key, fingerprint(body, f"resume {parent.run_id}"))
    carried = _carried(parent, body, agents)
    accepted = _accepted(parent, body, conversation_id, default)
    return new_run(accepted, carried.drafts, tenant_id=tenant_id, run_id=run_id, now=now, key=named, share=share)


def _carried(parent: RunState, body: ResumeRun, agents: Collection[str]) -> Carried:
    match carry_over(parent, plan=body.plan, from_stage=body.from_stage, agents=agents):
        case Carried() as carried:
            return carried
        case Unresumable(words=words):
            raise Conflict(words, "not_resumable")
        case Mistakes(found=found):
            told = [FieldError(pointer=_pointer(mistake), detail=mistake.words) for mistake in found]
            detail = "The run cannot be resumed so: " + "; ".join(mistake.words for mistake in found[:3]) + "."
            raise Refusal(422, "validation_failed", detail, told)


def _accepted(parent: RunState, body: ResumeRun, conversation_id: str | None, default: OnDisconnect) -> RunAccepted:
    """The parent's acceptance with the limits of ``body``: the same input after the same that was said before."""
    before = parent.accepted
    assert before is not None  # the first event of every run
    limits = {
        "deadline_s": before.limits.deadline_s if body.deadline_s is None else body.deadline_s,
        "budget_usd": before.limits.budget_usd if body.budget_usd is None else body.budget_usd,
    }
    return RunAccepted(
        input=before.input,
        limits=before.limits.model_copy(update=limits),
        conversation_id=conversation_id,
        on_disconnect=body.on_disconnect or default,
        grace_s=before.grace_s if body.grace_s is None else body.grace_s,
        title=before.title,
        history=before.history,
        resumed_from=parent.run_id,
    )


def _pointer(mistake: Mistake) -> str:
    return "".join(f"/{part}" for part in mistake.where)
