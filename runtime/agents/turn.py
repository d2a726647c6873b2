"""One turn of a model, with everything that can go wrong: attempts, pauses, breakers, the ladder of models, money.

The one retry authority for model calls. Each attempt is announced durably before the request is made, with the most it can
cost; a withdrawn one is marked ``turn.superseded`` before the next begins, so a reader never sees two answers mixed, and
gives back what was held for it: all of it counts as spent unless the provider surely did no work.

A call a breaker does not let through is no attempt in the log: nothing is announced, withdrawn or failed, only said
(``recovery.*`` with ``breaker_open``). It does use up one of the model's tries, so that nobody waits for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import orjson

from runtime import failpoints
from runtime.agents.attempt import play, runnable
from runtime.agents.record import StageRecord
from runtime.agents.telling import tell
from runtime.clock import Clock
from runtime.errors import ModelBreakerOpen, ModelError, ModelUnauthorized, Parked
from runtime.events import catalog as ev
from runtime.events.attachments import takes_attachments
from runtime.events.messages import Conversation, tool_uses
from runtime.events.recovery_events import Recovery
from runtime.events.turn_events import Purpose
from runtime.llm.client import Completed, ModelClient, ModelRequest
from runtime.llm.models import CATALOGUE, Catalogue
from runtime.llm.pricing import LIST_PRICES, PriceTable
from runtime.llm.request_size import server_tool_uses, size_bound
from runtime.recovery.alarm import Alarms
from runtime.recovery.breaker import Breaker, Breakers, Call
from runtime.recovery.ladder import next_rung
from runtime.recovery.policy import FallBack, Jitter, Park, Retry, RetryPolicy, trips_breaker
from runtime.telemetry import Counts, logger

_log = logger("agents")

SECRET_IN_ARGUMENTS = (
    "they hold a secret, such as a key or a password, and secrets are not passed on. "
    "Tools have the secrets they need; leave it out, or say that it cannot be done"
)

DECLINED = {"refusal": "refused", "model_context_window_exceeded": "context_overflow"}
"""Stop reasons with which a model says that it will not or cannot answer: not asked again, but the next model is."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One model of an agent's ladder."""

    name: str
    """``adapter:model``, as people read it."""
    model: str
    client: ModelClient
    instructions: str

    @property
    def provider(self) -> str:
        """The adapter: with the model's name at its provider, what breakers and alarms are kept by."""
        return self.name.partition(":")[0]

    @property
    def reads_words_only(self) -> bool:
        """Whether it cannot be shown attachments, and its provider has no tools of its own."""
        return not takes_attachments(self.name)


@dataclass(frozen=True, slots=True)
class TurnTools:
    """What a turn needs beside its request."""

    ladder: tuple[Rung, ...]
    policy: RetryPolicy
    clock: Clock
    jitter: Jitter
    counts: Counts
    prices: PriceTable = LIST_PRICES
    breakers: Breakers = field(default_factory=Breakers)
    """One for all agents of a process."""
    alarms: Alarms = field(default_factory=Alarms)
    catalogue: Catalogue = CATALOGUE
    """What is known of models' windows."""


RequestFor = Callable[[Rung, Conversation, int], ModelRequest]
"""Builds the request for a rung, the conversation and the turn's number."""


async def take_turn(
    tools: TurnTools,
    record: StageRecord,
    request_for: RequestFor,
    *,
    show: bool,
    purpose: Purpose = "answer",
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Make the next turn of the conversation in ``record``. ``show`` streams its deltas; ``purpose`` says what it is for.

    ``progress`` is called whenever the model says something, and after a pause that was made on purpose.

    Raises :class:`ModelError` when every attempt on every model failed (the log then ends with ``turn.failed`` if one was
    announced and not withdrawn), :class:`Parked` when the last model asks for a long pause (its attempt is withdrawn), and
    what the log refuses, as itself: ``LimitExceeded`` when the call does not fit the budget, ``RunCancelled``, ``Fenced`` ...
    """
    await _Turn(tools, record, request_for, show, purpose, progress).take()


class _Turn:
    """The turn under way: where on the ladder, after how many tries."""

    def __init__(
        self,
        tools: TurnTools,
        record: StageRecord,
        request_for: RequestFor,
        show: bool,
        purpose: Purpose,
        progress: Callable[[], None],
    ) -> None:
        self._tools = tools
        self._record = record
        self._request_for = request_for
        self._show = show
        self._purpose = purpose
        self._progress = progress
        self._rung_at = 0
        self._tries = 0
        self._announced = 0

    async def take(self) -> None:
        while True:
            self._tries += 1
            try:
                done = await self._call(self._closed_breaker())
            except ModelError as error:
                await self._recover(error)
                continue
            self._check_cost(done)
            if done.stop_reason in DECLINED and (rung := self._next_rung(None)) is not None:
                await self._fall_back(rung, DECLINED[done.stop_reason], spent=done.usage.cost_usd)
                continue
            await self._complete(done)
            return

    # --- the call ----------------------------------------------------------------------------------------------------

    @property
    def _rung(self) -> Rung:
        return self._tools.ladder[self._rung_at]

    def _next_rung(self, error: ModelError | None) -> int | None:
        return next_rung([(rung.provider, rung.model) for rung in self._tools.ladder], self._rung_at, error)

    def _closed_breaker(self) -> Breaker:
        rung = self._rung
        breaker = self._tools.breakers.of(rung.provider, rung.model)
        wait_s = breaker.wait_s(self._tools.clock.monotonic())
        if wait_s > 0:
            words = f"{rung.name} failed most of its calls just now and is not asked for another {wait_s:.0f} s"
            raise ModelBreakerOpen(words, wait_s, True)
        return breaker

    async def _call(self, breaker: Breaker) -> Completed:
        """Announce an attempt and make its call."""
        clock, failed = self._tools.clock, None  # None: until the model has had its say, and if it never has
        call = breaker.begin(clock.monotonic())
        try:
            done = await self._play(await self._announce(), partial(self._answered, breaker, call))
            failed = False
            return done
        except ModelError as error:
            failed = trips_breaker(error)
            raise
        finally:
            if breaker.end(call, clock.monotonic(), failed=failed):
                self._tools.counts.add("breaker.opened")
                _log.warning("%s fails most of its calls: none are made for a while", self._rung.name)

    def _answered(self, breaker: Breaker, call: Call) -> None:
        breaker.answered(call)
        self._progress()

    async def _play(self, request: ModelRequest, answered: Callable[[], None]) -> Completed:
        turn, attempt = self._record.transcript.turn, self._record.transcript.attempt
        client, emitter = self._rung.client, self._record.emitter
        return await play(client, request, emitter, turn, attempt, show=self._show, answered=answered)

    async def _announce(self) -> ModelRequest:
        turn, attempt = self._record.transcript.next_attempt()
        request = self._request_for(self._rung, self._record.transcript.messages(), turn)
        prices, reserved = self._tools.prices, 0.0
        if prices.knows(request.model):
            size, uses = await size_bound(self._rung.client, request), server_tool_uses(request)
            reserved = prices.worst_case_usd(request.model, size, request.max_tokens, uses)
        announced = ev.TurnStarted(
            model=self._rung.name, request_hash=_hash(request), reserved_cost_usd=reserved, purpose=self._purpose
        )
        await self._record.commit_at(turn, attempt, announced)
        self._announced += 1
        failpoints.hit("turn.started")
        return request

    # --- what a failure leads to -------------------------------------------------------------------------------------

    async def _recover(self, error: ModelError) -> None:
        """Return when the next try may be made. Raises ``error`` when none is left, or :class:`Parked`."""
        if isinstance(error, ModelUnauthorized):
            self._alarm(error)
        policy, spent, rung = self._tools.policy, self._spent(error), self._next_rung(error)
        left = int(rung is not None)
        match policy.decide(error, attempt=self._tries, models_left=left, jitter=self._tools.jitter):
            case Retry(delay_s=delay):
                await self._withdraw(error.code, self._retrying(error, delay), spent)
                await self._tools.clock.sleep(delay)
                self._progress()  # whoever waits because it was asked to is not idle
            case FallBack() if rung is not None:
                await self._fall_back(rung, error.code, spent)
            case Park(wait_s=wait):
                await self._withdraw(error.code, self._retrying(error, wait), spent)
                self._tools.counts.add("recovery.parked")
                raise Parked(error.message, wait) from error
            case _:
                await self._give_up(error, spent)

    def _spent(self, error: ModelError) -> float:
        """What the failed attempt counts for: nobody can say how far a provider came that may have worked at all."""
        return 0.0 if error.unbilled else self._record.transcript.reserved_usd

    def _retrying(self, error: ModelError, delay_s: float) -> ev.RecoveryRetrying:
        return ev.RecoveryRetrying(
            failure=error.code,
            message=error.message,
            attempt=self._tries,
            of=self._tools.policy.attempts,
            delay_s=delay_s,
        )

    async def _fall_back(self, rung: int, failure: str, spent: float) -> None:
        to = self._tools.ladder[rung].name
        said = ev.RecoveryFellBack(from_model=self._rung.name, to_model=to, failure=failure)
        await self._withdraw(failure, said, spent)
        self._rung_at, self._tries = rung, 0

    async def _withdraw(self, reason: str, said: Recovery, spent: float) -> None:
        """Say what comes next, in one write with the end of the attempt that is open, if one is."""
        before = self._record.transcript
        if before.open:
            superseded = ev.TurnSuperseded(reason=reason, released_cost_usd=before.reserved_usd, spent_cost_usd=spent)
            await self._record.commit_at(before.turn, before.attempt, superseded, said)
        else:
            await self._record.emitter.commit(said, turn=before.next_attempt()[0])
        tell(self._tools.counts, self._record.emitter, said)

    async def _give_up(self, error: ModelError, spent: float) -> None:
        before = self._record.transcript
        if before.open:
            failed = ev.TurnFailed(
                code=error.code,
                message=error.message,
                attempts=self._announced,
                released_cost_usd=before.reserved_usd,
                spent_cost_usd=spent,
            )
            await self._record.commit_at(before.turn, before.attempt, failed)
        raise error

    def _alarm(self, error: ModelError) -> None:
        rung = self._rung
        self._tools.counts.add("alarm.model_unauthorized")
        if self._tools.alarms.due((rung.provider, rung.model), self._tools.clock.monotonic()):
            _log.error("ALARM: %s cannot be used until an operator acts: %s", rung.name, error.message)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _check_cost(self, done: Completed) -> None:
        """What was spent counts, whatever was held back; but then a price or a bound is wrong, and operators must know."""
        held = self._record.transcript.reserved_usd
        if done.usage.cost_usd > held + 1e-9:
            figures = (self._rung.name, done.model, done.usage.cost_usd, held, done.usage.model_dump())
            _log.error("a turn of %s (answered by %s) cost %.6f USD, more than the %.6f held back: %s", *figures)
            self._tools.counts.add("budget.exceeded_reservation")

    async def _complete(self, done: Completed) -> None:
        content, invalid_calls = runnable(done)
        before = self._record.transcript
        events: list[ev.Event] = [
            ev.TurnCompleted(
                content=content,
                stop_reason=done.stop_reason,
                usage=done.usage,
                model=done.model,
                truncated=done.stop_reason == "max_tokens",
                released_cost_usd=before.reserved_usd,
                purpose=self._purpose,
            )
        ]
        events += [
            ev.ToolArgumentsInvalid(call_id=call.call_id, name=call.name, message=call.problem)
            for call in invalid_calls
        ]
        # In the log they are redacted. A tool is not run with other arguments than the model wrote: it is not run.
        events += [
            ev.ToolArgumentsInvalid(call_id=use.id, name=use.name, message=SECRET_IN_ARGUMENTS)
            for use in tool_uses(content)
            if self._record.emitter.holds_secret(use.input)
        ]
        await self._record.commit_at(before.turn, before.attempt, *events)


def _hash(request: ModelRequest) -> str:
    """A short fingerprint of what the model is asked, to compare runs by."""
    parts = [request.model, request.system, *(m.model_dump_json() for m in request.messages), request.tool_choice or ""]
    parts += [*request.server_tools, request.options.model_dump_json()]
    parts += [orjson.dumps(spec.input_schema, option=orjson.OPT_SORT_KEYS).decode() for spec in request.tools]
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
