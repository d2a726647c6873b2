"""One stage's (or planning agent's) conversation as a fold of its events.

The agent loop advances its own conversation with this fold, event by event, as it writes them to the log; the executor
advances the same fold when it reads the log. So a conversation carried by ``ToolCallLimitReached``, one resumed after a
takeover and one read back tomorrow are the same by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from runtime.events import compaction
from runtime.events.catalog import (
    Event,
    RecoveryCompacted,
    RecoveryResumed,
    RecoveryRetrying,
    RecoveryToolSwitchedOff,
    StageFailed,
    ToolArgumentsInvalid,
    ToolCalled,
    ToolCompleted,
    ToolOutcomeUnknown,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    TurnSuperseded,
)
from runtime.events.messages import (
    ContentBlock,
    Conversation,
    Message,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    Usage,
    text_of,
    tool_uses,
)

LIMIT_NOTE = (
    "You reached the tool-call limit. Continue from where you left off: do not start over, use what you already have, "
    "and finish as soon as you can."
)
"""What an agent is told when it is resumed (the user's article, pattern 3)."""


LAST_ANSWER_NOTE = (
    "You have used all your tool calls, and no more are possible. Answer now with what you have found, and say what is "
    "missing."
)
"""What an agent is told after its last resume, with its tools off."""


def switched_off_note(tool: str, failures: int) -> str:
    """What an agent is told of a tool that keeps failing."""
    return (
        f"The tool {tool} failed {failures} times in a row and is switched off for this step. Go on without it, and say "
        "in your answer what could not be done."
    )


def repair_note(problem: str) -> str:
    """What an agent is told when its answer does not fit."""
    return f"Your last answer cannot be used: {problem}\nAnswer again, with this mended and nothing else."


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation after its first user message, and where its agent stands in it."""

    done: Conversation = ()
    """Messages up to and including the last complete turn."""
    results: tuple[ToolResultBlock, ...] = ()
    """Answers to the last turn's tool calls that are in so far."""
    notes: tuple[str, ...] = ()
    """What the agent is to be told with its next turn."""
    called: frozenset[str] = frozenset()
    """Ids of the last turn's tool calls whose effect may have begun; another turn's calls may have the same ids."""
    effects: frozenset[str] = frozenset()
    """Those of them that do more than read."""
    failing: tuple[tuple[str, int], ...] = ()
    """Tools whose last calls failed, each with how many in a row."""
    switched_off: frozenset[str] = frozenset()
    """Tools the stage goes on without."""
    turns_done: int = 0
    """The last turn that was completed."""
    turn: int = 0
    """The last turn that was started."""
    attempt: int = 0
    """The last attempt at that turn."""
    open: bool = False
    """Whether that attempt has neither completed nor been withdrawn."""
    reserved_usd: float = 0.0
    """What that attempt holds back from the budgets while it is open."""
    tool_calls: int = 0
    resumes: int = 0
    """How often it was resumed from the tool-call limit."""
    repairs: int = 0
    stop_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    summary: str = ""
    """Of the oldest turns, made and not yet put in their place."""

    def next_attempt(self) -> tuple[int, int]:
        """Turn and attempt that come next: the turn that did not complete again, else a new one."""
        turn = self.turns_done + 1
        return turn, self.attempt + 1 if self.turn == turn else 1

    def restarted(self) -> Transcript:
        """An empty conversation whose turns are numbered on, so that no two turns of a stage share a number."""
        return Transcript(
            turns_done=self.turn,
            turn=self.turn,
            attempt=self.attempt,
            called=self.called,
            effects=self.effects,
            usage=self.usage,
            failing=self.failing,
            switched_off=self.switched_off,
        )

    def messages(self) -> Conversation:
        """What the next turn is to be asked with, after the first user message."""
        blocks: tuple[ContentBlock, ...] = (*self.ordered_results(), *(TextBlock(text=n) for n in self.notes))
        return (*self.done, Message(role="user", content=blocks)) if blocks else self.done

    def ordered_results(self) -> tuple[ToolResultBlock, ...]:
        """The answers in the order of their calls, as the Messages API wants them."""
        order = {use.id: i for i, use in enumerate(self.uses())}
        return tuple(sorted(self.results, key=lambda r: order.get(r.tool_use_id, len(order))))

    def uses(self) -> tuple[ToolUseBlock, ...]:
        """The last turn's tool calls."""
        return tool_uses(self.done[-1].content) if self.done and self.done[-1].role == "assistant" else ()

    def unanswered(self) -> tuple[ToolUseBlock, ...]:
        """Tool calls that still have no answer."""
        have = {result.tool_use_id for result in self.results}
        return tuple(use for use in self.uses() if use.id not in have)

    def calling(self) -> bool:
        """Whether a tool call has begun that has no answer yet."""
        return any(use.id in self.called for use in self.unanswered())

    def in_doubt(self) -> tuple[ToolUseBlock, ...]:
        """Calls that may have had an effect and have no answer: whoever ends the stage now must report them as unknown."""
        return tuple(use for use in self.unanswered() if use.id in self.effects)

    def failures(self, tool: str) -> int:
        """How often in a row ``tool`` has failed."""
        return dict(self.failing).get(tool, 0)

    def text(self) -> str:
        """The text of the last complete turn."""
        return text_of(self.done[-1].content) if self.done and self.done[-1].role == "assistant" else ""

    def finished(self) -> bool:
        """Whether the last turn ended the conversation: an answer, nothing open and nothing to tell."""
        return (
            bool(self.done)
            and self.done[-1].role == "assistant"
            and not (self.open or self.uses() or self.notes or self.stop_reason == "pause_turn")
        )


def advance(transcript: Transcript, event: Event, turn: int | None, attempt: int | None) -> Transcript:
    """The transcript after ``event``; events that say nothing about a conversation leave it as it is."""
    match event:
        case TurnStarted(reserved_cost_usd=reserved):
            return replace(transcript, turn=turn or 0, attempt=attempt or 0, open=True, reserved_usd=reserved)
        case TurnSuperseded() | TurnFailed():
            return replace(transcript, open=False, reserved_usd=0.0)
        case TurnCompleted(content=content, usage=usage, purpose="summary"):
            return replace(
                transcript,
                open=False,
                reserved_usd=0.0,
                turns_done=turn or transcript.turn,
                usage=transcript.usage.plus(usage),
                summary=text_of(content),
            )
        case TurnCompleted(content=content, stop_reason=stop_reason, usage=usage):
            done = (*transcript.messages(), Message(role="assistant", content=content))
            return replace(
                transcript,
                done=done,
                results=(),
                notes=(),
                called=frozenset(),
                effects=frozenset(),
                open=False,
                reserved_usd=0.0,
                turns_done=turn or transcript.turn,
                stop_reason=stop_reason,
                usage=transcript.usage.plus(usage),
                summary="",
            )
        case RecoveryCompacted(shortened=upto, summarised=summarised):
            return _compacted(transcript, upto, summarised)
        case ToolCalled(call_id=call_id, kind=kind):
            calls = transcript.tool_calls + (call_id not in transcript.called)
            effects = transcript.effects if kind == "read" else transcript.effects | {call_id}
            return replace(transcript, called=transcript.called | {call_id}, effects=effects, tool_calls=calls)
        case ToolCompleted(call_id=call_id, name=name, result=result, is_error=is_error):
            return _ran(transcript, call_id, name, result, is_error)
        case ToolOutcomeUnknown(call_id=call_id, name=name, known=known):
            return _ran(transcript, call_id, name, f"The outcome of this call is unknown: {known}", True)
        case ToolArgumentsInvalid(call_id=call_id, message=message):
            return _invalid(transcript, call_id, message)
        case RecoveryResumed(reason="tool_call_limit"):
            return replace(transcript, notes=(*transcript.notes, LIMIT_NOTE), resumes=transcript.resumes + 1)
        case RecoveryRetrying(failure="output_invalid", message=message):
            return replace(transcript, notes=(*transcript.notes, repair_note(message)), repairs=transcript.repairs + 1)
        case RecoveryRetrying(failure="tool_call_limit"):
            return replace(transcript, notes=(*transcript.notes, LAST_ANSWER_NOTE))
        case RecoveryToolSwitchedOff(name=name, failures=failures):
            notes = (*transcript.notes, switched_off_note(name, failures))
            return replace(transcript, notes=notes, switched_off=transcript.switched_off | {name})
        case StageFailed(decision="retry"):
            return transcript.restarted()
        case _:
            return transcript


def from_conversation(
    conversation: Conversation,
    *,
    next_turn: int,
    tool_calls: int,
    resumes: int,
    failing: tuple[tuple[str, int], ...] = (),
    switched_off: frozenset[str] = frozenset(),
) -> Transcript:
    """The transcript of a conversation carried by ``ToolCallLimitReached``: its first message is the agent's brief."""
    last = next_turn - 1
    return Transcript(
        done=conversation[1:],
        turns_done=last,
        turn=last,
        attempt=1,
        tool_calls=tool_calls,
        resumes=resumes,
        failing=failing,
        switched_off=switched_off,
    )


def _compacted(transcript: Transcript, shorten: int, summarise: int) -> Transcript:
    done, stop_reason = transcript.done, transcript.stop_reason
    if stop_reason == "model_context_window_exceeded":  # what the full window cut off is no turn to go on from
        done, stop_reason = done[:-1], None
    if summarise:
        done = compaction.summarised(done, summarise, transcript.summary)
    return replace(transcript, done=compaction.shortened(done, shorten), stop_reason=stop_reason, summary="")


def _ran(transcript: Transcript, call_id: str, name: str, result: str, is_error: bool) -> Transcript:
    """The transcript after a call's answer, with how often its tool has failed; what was never called did not fail."""
    after = _answered(transcript, call_id, result, is_error)
    if after is transcript or call_id not in transcript.called:
        return after
    others = tuple((tool, times) for tool, times in transcript.failing if tool != name)
    return replace(after, failing=(*others, (name, transcript.failures(name) + 1)) if is_error else others)


def _answered(transcript: Transcript, call_id: str, result: str, is_error: bool) -> Transcript:
    if any(known.tool_use_id == call_id for known in transcript.results):
        return transcript
    block = ToolResultBlock(tool_use_id=call_id, content=result, is_error=is_error)
    return replace(transcript, results=(*transcript.results, block))


def _invalid(transcript: Transcript, call_id: str, message: str) -> Transcript:
    words = f"The arguments cannot be used: {message}"
    if any(use.id == call_id for use in transcript.uses()):
        return _answered(transcript, call_id, words, True)
    # The call was never part of the canonical message (its JSON was cut): the model is told in words.
    return replace(transcript, notes=(*transcript.notes, words))
