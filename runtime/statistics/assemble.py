"""The whole report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runtime.statistics import counting
from runtime.statistics.counting import Seen
from runtime.statistics.report import DayCost, Outcomes, Report, RunUnderWay, UnderWay, Use


@dataclass(frozen=True, slots=True)
class Window:
    """The runs that were accepted in it are looked at; seconds since the epoch."""

    since: float
    until: float


def assemble(
    seen: Sequence[Seen],
    window: Window,
    *,
    complete: bool,
    everyone: bool,
    under_way: Sequence[tuple[str, str, int]],
    unfinished: Sequence[RunUnderWay],
    days: Sequence[DayCost],
    shown_tools: Collection[str] | None = None,
) -> Report:
    """The report on the runs ``seen``, the newest first.

    ``complete``: they are all of the window. ``everyone``: of all tenants. ``under_way``: tenant, state and number of runs
    that have not ended, of which some are listed in ``unfinished``. ``shown_tools``: those the viewer may see; None: all.
    """
    runs = [one.facts for one in seen]
    by_state, by_tenant = Counter[str](), Counter[str]()
    for tenant_id, state, n in under_way:
        by_state[state] += n
        by_tenant[tenant_id] += n
    outcomes = Outcomes(**counting.outcomes(runs))
    return Report(
        scope="all" if everyone else "tenant",
        at=window.until,
        since=window.since,
        runs=len(runs),
        complete=complete,
        under_way=UnderWay(
            accepted=by_state["accepted"],
            running=by_state["running"],
            waiting=by_state["waiting"],
            runs=list(unfinished),
        ),
        outcomes=outcomes,
        rates=counting.rates(outcomes),
        over_time=counting.over_time(runs, window.since, window.until),
        durations=counting.durations(runs),
        recovery=counting.recoveries(runs),
        total=Use(**counting.use_of(call for run in runs for call in run.calls)),  # type: ignore[arg-type]
        models=counting.models(runs),
        agents=counting.agents(runs),
        conversations=counting.conversations(runs),
        tenants=counting.tenants(seen, by_tenant),
        days=list(days),
        errors=counting.errors(runs),
        tools=counting.tools(runs, shown_tools),
    )
