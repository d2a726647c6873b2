"""One stage's (or planning agent's) conversation as a fold of its events.

The agent loop advances its own conversation with this fold, event by event, as it writes them to the log; the executor
advances the same fold when it reads the log. So a conversation carried by ``ToolCallLimitReached``, one resumed after a
takeover and one read back tomorrow are the same by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.events import compaction
from runtime.events.attachments import blocks_of
from runtime.events.calls import call_key
from runtime.events.catalog import (
    ApprovalGiven,
    ApprovalRequested,
    Event,
    InputDelivered,
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
from runtime.events.evolve import evolve
from runtime.events.messages import (
    ContentBlock,
    Conversation,
    Message,
    ResultPart,
    ServerToolUseBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    Usage,
    text_of,
    tool_uses,
)
from runtime.events.notes import LAST_ANSWER_NOTE, LIMIT_NOTE, repair_note, said_note, switched_off_note
from runtime.events.tool_events import Taint


@dataclass(frozen=True)
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
    delivered: frozenset[str] = frozenset()
    """What people have said that is part of it, by name."""
    asked: tuple[ApprovalRequested, ...] = ()
    """What people have been asked about the last turn's calls."""
    answers: tuple[ApprovalGiven, ...] = ()
    """What they answered."""
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
    """Of its turns, and of delegations that are over."""
    taint: Taint = frozenset()
    """What its tools, and its delegates' tools, have shown it; see :mod:`runtime.tools.containment`."""
    agent: str | None = None
    """Of a delegate's conversation: whose it is."""
    children: dict[str, Transcript] = field(default_factory=dict)
    """Conversations of delegates whose calls have no answer yet, by :func:`runtime.events.calls.call_key`."""
    summary: str = ""
    """Of the oldest turns, made and not yet put in their place."""

    def next_attempt(self) -> tuple[int, int]:
        """Turn and attempt that come next: the turn that did not complete again, else a new one."""
        turn = self.turns_done + 1
        return turn, self.attempt + 1 if self.turn == turn else 1

    def restarted(self) -> Transcript:
        """An empty conversation whose turns are numbered on, so that no two turns of a stage share a number.

        It stays as tainted as it was: what a tool did may reach it on other ways than its words.
        """
        return Transcript(
            turns_done=self.turn,
            turn=self.turn,
            attempt=self.attempt,
            called=self.called,
            effects=self.effects,
            usage=self.spent(),
            taint=self.met(),
            agent=self.agent,
            failing=self.failing,
            switched_off=self.switched_off,
            delivered=self.delivered,
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
        """Whether a tool call has begun that has no answer yet; a delegation counts by what its agent is doing."""
        own = (u for u in self.unanswered() if u.id in self.called and self.child_key(u.id) not in self.children)
        return any(own) or any(child.calling() for child in self.children.values())

    def child_key(self, call_id: str) -> str:
        """What a call of the last turn is known by in ``children``."""
        return call_key(self.turns_done, call_id)

    def spent(self) -> Usage:
        """Of its turns and all its delegates'."""
        usage = self.usage
        for child in self.children.values():
            usage = usage.plus(child.spent())
        return usage

    def met(self) -> Taint:
        """Its taint with that of delegates under way."""
        return self.taint.union(*(child.met() for child in self.children.values()))

    def progress(self) -> tuple[int, ...]:
        """Grows, as tuples are compared, with every turn completed and every call answered, also by delegates."""
        level, numbers = [self], list[int]()
        while level:
            numbers += (sum(t.turns_done for t in level), sum(len(t.results) for t in level))
            level = [child for transcript in level for child in transcript.children.values()]
        return tuple(numbers)

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


def advance(
    transcript: Transcript, event: Event, turn: int | None, attempt: int | None, call: str | None = None
) -> Transcript:
    """The transcript after ``event``; events that say nothing about a conversation leave it as it is.

    ``call``: the event belongs to the work of a delegate, see :func:`runtime.events.calls.call_path`.
    """
    if call is not None:
        key, _, rest = call.partition("/")
        child = transcript.children.get(key)
        after = advance(child, event, turn, attempt, rest or None) if child is not None else None
        return transcript if after is None or after is child else with_child(transcript, key, after)
    match event:
        case TurnStarted(reserved_cost_usd=reserved):
            return evolve(transcript, turn=turn or 0, attempt=attempt or 0, open=True, reserved_usd=reserved)
        case TurnSuperseded() | TurnFailed():
            return evolve(transcript, open=False, reserved_usd=0.0)
        case TurnCompleted(content=content, usage=usage, purpose="summary"):
            return evolve(
                transcript,
                open=False,
                reserved_usd=0.0,
                turns_done=turn or transcript.turn,
                usage=transcript.usage.plus(usage),
                summary=text_of(content),
            )
        case TurnCompleted(content=content, stop_reason=stop_reason, usage=usage):
            done = (*transcript.messages(), Message(role="assistant", content=content))
            return evolve(
                transcript,
                done=done,
                results=(),
                notes=(),
                called=frozenset(),
                effects=frozenset(),
                asked=(),
                answers=(),
                open=False,
                reserved_usd=0.0,
                turns_done=turn or transcript.turn,
                stop_reason=stop_reason,
                usage=transcript.usage.plus(usage),
                taint=transcript.taint | _brought_in(content),
                summary="",
            )
        case RecoveryCompacted(shortened=upto, summarised=summarised):
            return _compacted(transcript, upto, summarised)
        case ToolCalled():
            return _called(transcript, event)
        case ToolCompleted(call_id=call_id, name=name, is_error=is_error):
            return _ran(transcript, call_id, name, _content(event), is_error)
        case ToolOutcomeUnknown(call_id=call_id, name=name, known=known):
            return _ran(transcript, call_id, name, f"The outcome of this call is unknown: {known}", True)
        case ToolArgumentsInvalid(call_id=call_id, message=message):
            return _invalid(transcript, call_id, message)
        case ApprovalRequested(call_id=str()):
            return evolve(transcript, asked=(*transcript.asked, event))
        case ApprovalGiven():
            return evolve(transcript, answers=(*transcript.answers, event))
        case InputDelivered(input=name, text=text):
            notes = (*transcript.notes, said_note(text))
            return evolve(transcript, notes=notes, delivered=transcript.delivered | {name})
        case RecoveryResumed(reason="tool_call_limit"):
            return evolve(transcript, notes=(*transcript.notes, LIMIT_NOTE), resumes=transcript.resumes + 1)
        case RecoveryRetrying(failure="output_invalid", message=message):
            return evolve(transcript, notes=(*transcript.notes, repair_note(message)), repairs=transcript.repairs + 1)
        case RecoveryRetrying(failure="tool_call_limit"):
            return evolve(transcript, notes=(*transcript.notes, LAST_ANSWER_NOTE))
        case RecoveryToolSwitchedOff(name=name, failures=failures):
            notes = (*transcript.notes, switched_off_note(name, failures))
            return evolve(transcript, notes=notes, switched_off=transcript.switched_off | {name})
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
    delivered: frozenset[str] = frozenset(),
    usage: Usage | None = None,
    taint: Taint = frozenset(),
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
        delivered=delivered,
        usage=usage or Usage(),
        taint=taint,
    )


def with_child(transcript: Transcript, key: str, child: Transcript) -> Transcript:
    """The transcript with the conversation of the delegate of that call as it is now."""
    return evolve(transcript, children={**transcript.children, key: child})


def _brought_in(content: tuple[ContentBlock, ...]) -> Taint:
    """What the provider's own tools have shown the conversation in a turn."""
    return frozenset({"untrusted"} if any(isinstance(block, ServerToolUseBlock) for block in content) else ())


def _called(transcript: Transcript, event: ToolCalled) -> Transcript:
    call_id = event.call_id
    after = evolve(
        transcript,
        called=transcript.called | {call_id},
        effects=transcript.effects if event.kind == "read" else transcript.effects | {call_id},
        tool_calls=transcript.tool_calls + (call_id not in transcript.called),
        taint=transcript.taint | event.taint,
    )
    key = transcript.child_key(call_id)
    if event.delegate is None or key in transcript.children:
        return after
    return with_child(after, key, Transcript(agent=event.delegate))


def _compacted(transcript: Transcript, shorten: int, summarise: int) -> Transcript:
    done, stop_reason, results = transcript.done, transcript.stop_reason, transcript.results
    if stop_reason == "model_context_window_exceeded":  # what the full window cut off is no turn to go on from
        done, results = done[:-1], ()  # nor are the answers to calls of it that could not be used
        stop_reason = "pause_turn" if done and done[-1].role == "assistant" else None
    if summarise:
        done = compaction.summarised(done, summarise, transcript.summary)
    done = compaction.shortened(done, shorten)
    return evolve(transcript, done=done, results=results, stop_reason=stop_reason, summary="")


def _content(event: ToolCompleted) -> str | tuple[ResultPart, ...]:
    """What the model reads of a result."""
    if not event.attachments:
        return event.result
    return (TextBlock(text=event.result), *blocks_of(event.attachments, citing=True))


def _ran(
    transcript: Transcript, call_id: str, name: str, result: str | tuple[ResultPart, ...], is_error: bool
) -> Transcript:
    """The transcript after a call's answer, with how often its tool has failed; what was never called did not fail."""
    after = _answered(transcript, call_id, result, is_error)
    if after is transcript or call_id not in transcript.called:
        return after
    others = tuple((tool, times) for tool, times in transcript.failing if tool != name)
    return evolve(after, failing=(*others, (name, transcript.failures(name) + 1)) if is_error else others)


def _answered(transcript: Transcript, call_id: str, result: str | tuple[ResultPart, ...], is_error: bool) -> Transcript:
    if any(known.tool_use_id == call_id for known in transcript.results):
        return transcript
    block = ToolResultBlock(tool_use_id=call_id, content=result, is_error=is_error)
    answered = evolve(transcript, results=(*transcript.results, block))
    key = transcript.child_key(call_id)
    if (child := transcript.children.get(key)) is None:
        return answered
    others = {name: other for name, other in transcript.children.items() if name != key}
    usage, taint = transcript.usage.plus(child.spent()), transcript.taint | child.met()
    return evolve(answered, children=others, usage=usage, taint=taint)


def _invalid(transcript: Transcript, call_id: str, message: str) -> Transcript:
    words = f"The arguments cannot be used: {message}"
    if any(use.id == call_id for use in transcript.uses()):
        return _answered(transcript, call_id, words, True)
    # The call was never part of the canonical message (its JSON was cut): the model is told in words.
    return evolve(transcript, notes=(*transcript.notes, words))
