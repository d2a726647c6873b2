"""The native API in types: what may be sent (``contract`` is what is answered).

Requests are closed and strict: an unknown field, ``"5"`` for 5 or ``true`` for 1 is refused (SECURITY.md 1).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, RootModel, field_validator

from runtime.events.plan import Identifier, Plan
from runtime.generator.attachments import MAX_ATTACHMENTS, AttachmentBody
from runtime.generator.contract import Body, OnDisconnect

MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
Deadline = Annotated[float, Field(ge=1, le=86_400)]
Grace = Annotated[float, Field(ge=0, le=3600)]
Budget = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]


class CreateRun(Body):
    """A question, and the conditions under which it is worked on."""

    input: Annotated[str, Field(min_length=1, max_length=20_000, json_schema_extra={"pattern": r"\S"})]
    """The question; not blank."""
    documents: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A folder on the server whose documents the agents may search; the server's own choice when left out."""
    attachments: Annotated[
        list[AttachmentBody], Field(max_length=MAX_ATTACHMENTS, exclude_if=lambda value: not value)
    ] = []
    """Pictures, PDFs and texts that belong to the question."""
    conversation_id: Identifier | None = None
    on_disconnect: OnDisconnect | None = None
    """Default: ``cancel`` when the answer is a stream, ``continue`` when it is a 202."""
    grace_s: Grace = 30.0
    """How long the last reader may be gone before ``cancel`` takes effect."""
    deadline_s: Deadline = 3600.0
    """How long the run may take."""
    budget_usd: Budget | None = None
    """US dollars the run may spend on models; no limit of its own when left out."""
    approve_plan: bool = False
    """Wait for a person to approve the plan before anything of it is done."""
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)] = {}
    """The caller's own notes; kept with the run, never read by it."""

    @field_validator("input")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("must not be blank")
        return text


class ResumeRun(Body):
    """How a new run goes on from an ended one; what is left out is as it was there."""

    from_stage: Identifier | None = None
    """This step and what depends on it are run again, also when they were completed."""
    plan: Plan | None = None
    """Takes the place of the ended run's plan; steps that stand unchanged in it keep their results."""
    budget_usd: Budget | None = None
    """For the new run alone: what the ended one spent is not counted again."""
    deadline_s: Deadline | None = None
    """Counted from now."""
    on_disconnect: OnDisconnect | None = None
    """Default: ``cancel`` when the answer is a stream, ``continue`` when it is a 201."""
    grace_s: Grace | None = None


Text = Annotated[str, Field(min_length=1, max_length=20_000, pattern=r"\S")]
"""Not blank."""
ApprovalName = Annotated[str, Field(min_length=1, max_length=500)]


class Approve(Body):
    """An answer to ``approval.requested``: yes, no, or (of a plan) something else."""

    type: Literal["approve"]
    approval: ApprovalName
    """Which one: its ``approval``."""
    arguments_hash: Annotated[str, Field(min_length=1, max_length=64)]
    """What exactly is agreed to: its ``arguments_hash``."""
    approved: bool = True
    text: Annotated[str, Field(max_length=20_000)] = ""
    """Why not, when it is refused."""
    plan: Plan | None = None
    """Of a plan: what is to be done instead."""


class AnswerQuestion(Body):
    """An answer to a question of an agent or a hook."""

    type: Literal["answer"]
    approval: ApprovalName
    text: Text


class SayMessage(Body):
    """Something the agents should know: part of their conversation with their next turn."""

    type: Literal["message"]
    text: Text
    stage: Identifier | None = None
    """Only for this step; for all that is still to be done when left out."""


class CancelStage(Body):
    """End one step; the run goes on without it."""

    type: Literal["cancel_stage"]
    stage: Identifier
    text: Annotated[str, Field(max_length=2000)] = ""
    """Why."""


class PersonInput(
    RootModel[Annotated[Approve | AnswerQuestion | SayMessage | CancelStage, Field(discriminator="type")]]
):
    """What a person says to an unfinished run."""
