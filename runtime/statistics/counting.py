"""Many runs' facts put together, one function for each part of the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from runtime.recovery.rate import Rate, What, names_of, recovery_rate
from runtime.statistics.facts import CallFacts, RunFacts, ToolFacts
from runtime.statistics.report import (
    AgentTimes,
    AgentUse,
    ConversationUse,
    Durations,
    ErrorCount,
    KindCount,
    ModelUse,
    Outcomes,
    Rates,
    ReasonCount,
    Recoveries,
    RecoveryRate,
    Slot,
    TenantUse,
    ToolUse,
    Use,
)
from runtime.statistics.spread import spread_of

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)

SLOTS: Final = 24
"""Parts of the window."""
CONVERSATIONS: Final = 10
OTHER: Final = "(other)"
"""The tools that a viewer is not shown, together."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A run that was looked at."""

    tenant_id: str
    facts: RunFacts


def outcomes(runs: Iterable[RunFacts]) -> dict[str, int]:
    """The fields of ``Outcomes``."""
    counts = Counter[str]()
    for run in runs:
        counts[run.state if run.ended else "unfinished"] += 1
        counts["stopped"] += run.stopped
    return {name: counts[name] for name in Outcomes.model_fields}


def rates(of: Outcomes) -> Rates:
    """The shares of the runs that have ended."""
    ended = of.ended or 1
    return Rates(
        completion=of.completed / ended, error=(of.failed + of.expired) / ended, cancellation=of.cancelled / ended
    )


def over_time(runs: Iterable[RunFacts], since: float, until: float) -> list[Slot]:
    """The window's parts; each run is in the one it was accepted in."""
    length = (until - since) / SLOTS
    parts = _grouped(runs, lambda run: min(SLOTS - 1, max(0, int((run.accepted_at - since) / length))))
    return [Slot(begins_at=since + n * length, **outcomes(parts.get(n, ()))) for n in range(SLOTS)]


def durations(runs: Sequence[RunFacts]) -> Durations:
    """How long runs, stages and planning took."""
    stages = [(stage.agent, stage.seconds) for run in runs for stage in run.stages if stage.end == "completed"]
    planning = [(one.agent, one.seconds) for run in runs for one in run.planning if one.code is None]
    return Durations(
        runs=spread_of(run.seconds for run in runs if run.state == "completed"),
        first_token=spread_of(run.first_token_s for run in runs),
        stages=_by_agent(stages),
        planning=_by_agent(planning),
    )


def recoveries(runs: Sequence[RunFacts]) -> Recoveries:
    """The rates, by the definition the executors count by; and how often each kind happened."""
    found = recovery_rate(Counter(_recovery_names(runs)))
    happened = Counter[str]()
    for run in runs:
        happened.update(dict(run.recoveries))
    return Recoveries(
        runs=_rates(found, "runs"),
        stages=_rates(found, "stages"),
        happened=[KindCount(kind=kind, count=n) for kind, n in _most_frequent(happened)],
        tool_limits=happened["resumed:tool_call_limit"],
        takeovers=happened["resumed:takeover"],
    )


def use_of(calls: Iterable[CallFacts]) -> dict[str, int | float]:
    """The fields of ``Use``."""
    used = list(calls)
    tokens: dict[str, int | float] = {
        name: sum(getattr(call, name) for call in used) for name in Use.model_fields if name != "cost_usd"
    }
    return {**tokens, "cost_usd": round(sum(call.cost_usd for call in used), 6)}


def models(runs: Iterable[RunFacts]) -> list[ModelUse]:
    """By model, the dearest first."""
    by_model = _grouped(_calls(runs), lambda call: call.model)
    return sorted((_model(name, calls) for name, calls in by_model.items()), key=lambda m: (*_dearest(m), m.model))


def agents(runs: Iterable[RunFacts]) -> list[AgentUse]:
    """By agent, the dearest first."""
    by_agent = _grouped(_calls(runs), lambda call: call.agent)
    used = [AgentUse(agent=name, calls=len(calls), **use_of(calls)) for name, calls in by_agent.items()]  # type: ignore[arg-type]
    return sorted(used, key=lambda a: (*_dearest(a), a.agent))


def conversations(runs: Iterable[RunFacts]) -> list[ConversationUse]:
    """The dearest conversations."""
    named = _grouped((run for run in runs if run.conversation_id), lambda run: run.conversation_id or "")
    used = [
        ConversationUse(conversation_id=name, runs=len(of), **use_of(_calls(of)))  # type: ignore[arg-type]
        for name, of in named.items()
    ]
    return sorted(used, key=lambda c: (*_dearest(c), c.conversation_id))[:CONVERSATIONS]


def tenants(seen: Iterable[Seen], under_way: Counter[str]) -> list[TenantUse]:
    """By tenant, the dearest first; ``under_way``: how many runs of each have not ended."""
    by_tenant = _grouped(seen, lambda one: one.tenant_id)
    used = []
    for name in {*by_tenant, *under_way}:
        runs = [one.facts for one in by_tenant.get(name, ())]
        figures = {**outcomes(runs), **use_of(_calls(runs))}
        used.append(TenantUse(tenant_id=name, under_way=under_way[name], **figures))  # type: ignore[arg-type]
    return sorted(used, key=lambda t: (*_dearest(t), t.tenant_id))


def errors(runs: Iterable[RunFacts]) -> list[ErrorCount]:
    """By place and code, the most frequent first; ``runs`` are the newest first."""
    found = [(error, run.run_id) for run in runs for error in run.errors]
    last = {error: run_id for error, run_id in reversed(found)}
    counts = Counter(error for error, _ in found)
    return [
        ErrorCount(where=error[0], code=error[1], count=n, last_run_id=last[error])
        for error, n in _most_frequent(counts)
    ]


def tools(runs: Iterable[RunFacts], shown: Collection[str] | None) -> list[ToolUse]:
    """By tool, those with the most failures first; ``shown``: the names a viewer may see, None: all."""
    calls = (tool for run in runs for tool in run.tools)
    by_name = _grouped(calls, lambda tool: tool.name if shown is None or tool.name in shown else OTHER)
    return sorted(
        (_tool(name, of) for name, of in by_name.items()), key=lambda t: (-t.failed - t.unknown, -t.calls, t.name)
    )


def _calls(runs: Iterable[RunFacts]) -> Iterator[CallFacts]:
    return (call for run in runs for call in run.calls)


def _model(name: str, calls: Sequence[CallFacts]) -> ModelUse:
    ends = Counter(call.end for call in calls)
    reasons = Counter(call.reason for call in calls if call.reason is not None)
    return ModelUse(
        model=name,
        calls=len(calls),
        completed=ends["completed"],
        failed=ends["failed"],
        withdrawn=ends["withdrawn"],
        reasons=[ReasonCount(reason=reason, count=n) for reason, n in _most_frequent(reasons)],
        times=spread_of(call.seconds for call in calls if call.end == "completed"),
        **use_of(calls),  # type: ignore[arg-type]
    )


def _tool(name: str, calls: Sequence[ToolFacts]) -> ToolUse:
    ends = Counter(call.end for call in calls)
    return ToolUse(
        name=name,
        calls=len(calls) - ends["invalid"] - ends["refused"],
        failed=ends["failed"],
        unknown=ends["unknown"],
        invalid=ends["invalid"],
        refused=ends["refused"],
        times=spread_of(call.seconds for call in calls),
    )


def _recovery_names(runs: Iterable[RunFacts]) -> Iterator[str]:
    for run in runs:
        if run.ended:
            yield from names_of("runs", dict(run.recoveries), completed=run.state == "completed")
        for stage in run.stages:
            if stage.end in ("completed", "failed"):
                yield from names_of("stages", stage.recoveries, completed=stage.end == "completed")


def _rates(found: dict[What, dict[str, Rate]], what: What) -> list[RecoveryRate]:
    return [
        RecoveryRate(
            kind=kind, ended=rate.ended, met=rate.met, completed=rate.completed, share=rate.share, success=rate.success
        )
        for kind, rate in found[what].items()
    ]


def _by_agent(seconds: Iterable[tuple[str, float | None]]) -> list[AgentTimes]:
    grouped = _grouped(seconds, lambda pair: pair[0])
    spreads = {agent: spread_of(value for _, value in pairs) for agent, pairs in sorted(grouped.items())}
    return [AgentTimes(agent=agent, times=times) for agent, times in spreads.items() if times is not None]


def _grouped(items: Iterable[T], key: Callable[[T], Key]) -> dict[Key, list[T]]:
    groups: defaultdict[Key, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def _most_frequent(counts: Counter[Key]) -> list[tuple[Key, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _dearest(use: Use) -> tuple[float, int]:
    """The dearest first; where nothing has a price, those with the most tokens."""
    return -use.cost_usd, -(use.input_tokens + use.output_tokens + use.cache_read_tokens + use.cache_write_tokens)
