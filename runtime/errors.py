"""Every error Headrace raises, sorted by who must act.

::

    HeadraceError
    ├── CallerError                 the person or program that asked
    │   ├── InvalidRequest          422/400: what was sent cannot be used
    │   ├── NotFound                404: no such run
    │   ├── Conflict                409: not possible in the run's present state
    │   ├── Busy                    503/429: try again after a while             (retryable)
    │   └── OverQuota               429: the tenant's share is used up for now   (retryable)
    ├── OperatorError               whoever runs the system
    │   ├── ConfigurationError      a setting is wrong; says which and how to mend it
    │   └── StoreLocked             another process owns the data directory
    ├── ModelError                  the model's provider
    │   ├── ModelRateLimited        429                                           (retryable)
    │   ├── ModelOverloaded         529, 5xx                                      (retryable)
    │   ├── ModelTimeout            no connection, no content in time             (retryable)
    │   ├── ModelStreamBroken       the stream ended before its end               (retryable)
    │   ├── ModelUnreachable        nothing answers at that address               (retryable)
    │   ├── ModelBreakerOpen        it failed too often just now and is not asked (retryable)
    │   ├── ModelProtocolError      an answer outside the protocol                (retryable)
    │   │   └── ModelStopUnknown    a stop reason that is not known: fail closed
    │   ├── ModelRequestRejected    400, 404, 413: the request itself is wrong
    │   ├── ModelUnauthorized       401, 403: the key
    │   └── ModelRefused            the model declined to answer
    ├── AgentError                  an agent could not do its part
    │   ├── OutputInvalid           the answer does not fit its schema after its repairs
    │   ├── StageFailed             a stage ended without an answer
    │   ├── Suspended               a person must answer first; nothing is held meanwhile  (retryable)
    │   ├── Parked                  the model wants a longer pause than a stage waits     (retryable)
    │   ├── AgentLost               its process is gone; another goes on from the log     (retryable)
    │   ├── LimitExceeded           the run's budget or its log is used up
    │   ├── ToolFailed              a tool raised or timed out; the model is told
    │   ├── ToolInDoubt             a tool lost what it had asked: nobody knows whether it had its effect
    │   └── ToolCallLimitReached    carries the whole conversation; the executor resumes from it
    └── InternalError               us
        ├── Fenced                  another owner has taken the run: stop at once
        ├── Superseded              a newer dispatch of this stage exists: stop at once
        ├── RunEnded                the run is over; nothing more may be written
        ├── RunCancelled            a cancel request is recorded: stop at once
        ├── InputPending            somebody has said something that was not considered: look again
        └── StoreUnavailable        the log cannot be reached                     (retryable)

All constructor arguments are positional and go to ``Exception.__init__``: only so does an error survive its way
through Ray. ``tests/test_errors.py`` pickles every class.
"""

from __future__ import annotations


class HeadraceError(Exception):
    """Base of everything raised here: ``code`` is stable, ``message`` is for people, ``retryable`` says if waiting helps."""

    code: str = "error"
    retryable: bool = False

    def __init__(self, message: str = "", *details: object) -> None:
        super().__init__(message, *details)
        self.message = message


def by_code(code: str) -> type[HeadraceError] | None:
    """The class in this tree whose ``code`` that is; None for the reasons that have no class of their own.

    Classes of other modules are not looked at: what a code means does not depend on what else has been imported.
    """
    pending: list[type[HeadraceError]] = [HeadraceError]
    while pending:
        kind = pending.pop()
        if kind.code == code:
            return kind
        pending += (below for below in kind.__subclasses__() if below.__module__ == __name__)
    return None


class CallerError(HeadraceError):
    """Whoever asked must ask differently."""

    code = "invalid"


class InvalidRequest(CallerError):
    """What was sent cannot be used."""

    code = "invalid_request"


class NotFound(CallerError):
    """There is no such thing, or the asker may not know of it."""

    code = "not_found"


class Conflict(CallerError):
    """Not possible in the present state; ``reason`` is a stable word for it."""

    code = "conflict"

    def __init__(self, message: str = "", reason: str = "conflict") -> None:
        super().__init__(message, reason)
        self.reason = reason


class Busy(CallerError):
    """Too much is under way; ask again after ``retry_after_s`` seconds."""

    code = "busy"
    retryable = True

    def __init__(self, message: str = "", retry_after_s: float = 2.0) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s


class OverQuota(CallerError):
    """What the tenant may use is used; ``reason`` is a stable word for what, and there is more in ``retry_after_s`` seconds."""

    code = "over_quota"
    retryable = True

    def __init__(self, message: str = "", reason: str = "over_quota", retry_after_s: float = 2.0) -> None:
        super().__init__(message, reason, retry_after_s)
        self.reason = reason
        self.retry_after_s = retry_after_s


class OperatorError(HeadraceError):
    """Whoever runs the system must act."""

    code = "operator"


class ConfigurationError(OperatorError):
    """A setting is wrong; the message says which one and how to mend it."""

    code = "configuration"


class StoreLocked(OperatorError):
    """Another process holds the data directory."""

    code = "store_locked"


class ModelError(HeadraceError):
    """The model's provider failed; ``retry_after_s`` is what it asked for, if it did.

    ``unbilled``: the provider surely did no work that costs money; False where nobody can say.
    """

    code = "model_error"

    def __init__(self, message: str = "", retry_after_s: float | None = None, unbilled: bool = False) -> None:
        super().__init__(message, retry_after_s, unbilled)
        self.retry_after_s = retry_after_s
        self.unbilled = unbilled


class ModelRateLimited(ModelError):
    """429."""

    code = "rate_limited"
    retryable = True


class ModelOverloaded(ModelError):
    """529 and other 5xx, also as an error event in mid-stream."""

    code = "overloaded"
    retryable = True


class ModelTimeout(ModelError):
    """No connection, no first content, or no further content in time (pings do not count)."""

    code = "model_timeout"
    retryable = True


class ModelStreamBroken(ModelError):
    """The stream ended before ``message_stop`` or without a stop reason."""

    code = "stream_broken"
    retryable = True


class ModelUnreachable(ModelError):
    """Nothing answers at the model's address."""

    code = "model_unreachable"
    retryable = True


class ModelBreakerOpen(ModelError):
    """The model failed too often just now, so no call was made; ``retry_after_s`` is when one may be tried."""

    code = "breaker_open"
    retryable = True


class ModelProtocolError(ModelError):
    """The provider answered outside its own protocol."""

    code = "protocol_error"
    retryable = True


class ModelStopUnknown(ModelProtocolError):
    """The model stopped for a reason that is not known: what its answer means cannot be known either."""

    code = "protocol_error"
    retryable = False


class ModelRequestRejected(ModelError):
    """400, 404, 413: repeating the same request cannot help."""

    code = "request_rejected"


class ModelUnauthorized(ModelError):
    """401, 403: the key is missing, wrong or without rights."""

    code = "model_unauthorized"


class ModelRefused(ModelError):
    """The model declined to answer; never repeated on the same model."""

    code = "refused"


class AgentError(HeadraceError):
    """An agent could not do its part."""

    code = "agent_error"


class OutputInvalid(AgentError):
    """The agent's answer does not fit what was asked for, after its repairs."""

    code = "output_invalid"


class StageFailed(AgentError):
    """A stage ended without an answer; ``reason`` is the stable code of the cause."""

    code = "stage_failed"

    def __init__(
        self, message: str = "", reason: str = "stage_failed", attempts: int = 1, can_retry: bool = False
    ) -> None:
        super().__init__(message, reason, attempts, can_retry)
        self.reason = reason
        self.attempts = attempts
        self.can_retry = can_retry


class Suspended(AgentError):
    """A stage can go on only when people have answered; everything of it is in the log, and nothing is held meanwhile."""

    code = "suspended"
    retryable = True


class Parked(AgentError):
    """The model asks for a pause of ``wait_s`` seconds, more than a stage waits; its turn is withdrawn, to be tried then."""

    code = "parked"
    retryable = True

    def __init__(self, message: str = "", wait_s: float = 0.0) -> None:
        super().__init__(message, wait_s)
        self.wait_s = wait_s


class AgentLost(AgentError):
    """The agent's process cannot be reached; what it wrote is in the log, and another goes on from there."""

    code = "agent_lost"
    retryable = True


class LimitExceeded(AgentError):
    """The run may not go on as it is; ``reason``: ``budget_exceeded`` or ``log_limit``. What was completed stays."""

    code = "limit_exceeded"

    def __init__(self, message: str = "", reason: str = "budget_exceeded") -> None:
        super().__init__(message, reason)
        self.reason = reason


class ToolFailed(AgentError):
    """A tool raised or took too long; raise it inside a tool to choose the words the model reads."""

    code = "tool_failed"


class ToolInDoubt(AgentError):
    """A tool lost touch with what it had asked, such as another server: raise it inside a tool whose effect nobody knows of."""

    code = "tool_in_doubt"


class ToolCallLimitReached(AgentError):
    """An agent reached its tool-call limit. ``conversation`` is the whole state as JSON: every message, call and result.

    ``conversation`` is the JSON text of a tuple of :class:`runtime.events.messages.Message`; ``next_turn`` is the number
    the next model turn takes; ``tool_calls`` counts those made in the stage so far.
    """

    code = "tool_call_limit"
    retryable = True

    def __init__(self, message: str = "", conversation: str = "[]", next_turn: int = 1, tool_calls: int = 0) -> None:
        super().__init__(message, conversation, next_turn, tool_calls)
        self.conversation = conversation
        self.next_turn = next_turn
        self.tool_calls = tool_calls


class InternalError(HeadraceError):
    """Ours to act on."""

    code = "internal"


class Fenced(InternalError):
    """A newer owner has taken the run: the one that sees this stops at once."""

    code = "fenced"


class Superseded(InternalError):
    """A newer dispatch of this stage exists: the one that sees this stops at once."""

    code = "superseded"


class RunEnded(InternalError):
    """The run is over: nothing more may be written to it."""

    code = "run_ended"


class RunCancelled(InternalError):
    """A cancel request is recorded: nothing new may start."""

    code = "run_cancelled"


class InputPending(InternalError):
    """Somebody has said something to the run that its owner had not seen: look again, then decide anew."""

    code = "input_pending"


class StoreUnavailable(InternalError):
    """The log cannot be reached just now."""

    code = "store_unavailable"
    retryable = True
