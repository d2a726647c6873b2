"""What a client shows of a run, held against what the server says of it."""

from __future__ import annotations


def agree(view: dict[str, object], snapshot: dict[str, object]) -> None:
    """What both say must be equal: all of the snapshot, but for what only the server knows."""
    only_server = {"links", "created_at", "elapsed_s", "conversation_id"}
    shown = {name: value for name, value in snapshot.items() if name not in only_server}
    made = {name: view.get(name) for name in shown}
    made["budget"], shown["budget"] = money(view["budget"]), money(shown["budget"])
    made["plan"] = [part(s, shown["plan"]) for s in view["stages"]] if view["planned"] else None  # type: ignore[index,attr-defined]
    made["agents"] = [part(a, shown["agents"]) for a in view["agents"]]  # type: ignore[attr-defined]
    made["approvals"] = [part(a, shown["approvals"]) for a in view["approvals"]]  # type: ignore[attr-defined]
    made["outputs"] = [output(s) for s in view["stages"] if s["output"] is not None]  # type: ignore[attr-defined]
    made["resume"], shown["resume"] = hint(view["resume"]), hint(shown["resume"]) if view["error"] else None
    made["usage"] = usage(view["usage"])
    shown["usage"] = usage(shown["usage"])
    assert made == shown


def part(of: dict[str, object], like: object) -> dict[str, object]:
    assert isinstance(like, list)
    return {name: of[name] for name in like[0]}


def output(stage: dict[str, object]) -> dict[str, object]:
    names = ("title", "agent", "partial", "carried_from", "citations")
    return {"stage": stage["id"], "text": stage["output"], **{name: stage[name] for name in names}}


def hint(resume: object) -> object:
    return resume and {name: resume[name] for name in ("possible", "how")}  # type: ignore[index]


def usage(of: object) -> object:
    """The snapshot leaves out what is 0."""
    return {name: value for name, value in of.items() if value}  # type: ignore[attr-defined]


def money(budget: object) -> object:
    return {name: budget[name] for name in ("reserved_usd", "spent_usd")}  # type: ignore[index]
