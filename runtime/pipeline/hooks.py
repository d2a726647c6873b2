"""Post-hooks: small functions that run after each stage, before the next. The glue.

A hook is given what happened and the decision so far, and answers with a decision. The built-in ones run first, then the
user's (``settings.hooks``, import paths ``module:function``). A hook may be async. Make hooks that need values with a
factory, never with a closure over a loop variable (the user's article, pitfall 4); :func:`stop_when` is one.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from runtime.agents.citations import listed, sources_list
from runtime.errors import ConfigurationError
from runtime.events.catalog import CitationAdded
from runtime.events.plan import Plan, Todo


@dataclass(frozen=True, slots=True)
class Failure:
    """How a stage ended without an answer."""

    code: str
    message: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Finished:
    """A stage that has just ended, in its plan."""

    question: str
    plan: Plan
    todo: Todo
    index: int
    """1 for the plan's first todo."""
    completed: frozenset[str]
    """Todos completed before this one."""
    tries: int
    """How often this stage has been tried, this time included."""
    output: str = ""
    citations: tuple[CitationAdded, ...] = ()
    failure: Failure | None = None

    @property
    def last(self) -> bool:
        """Whether nothing depends on this stage."""
        return all(self.todo.id not in other.depends_on for other in self.plan.todos)


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on; stages that depend on this one are given ``context``."""

    context: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """Run the stage again from its beginning."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Run nothing more. After a success the run completes with what there is; after a failure it fails."""

    reason: str


Decision = Continue | Retry | Stop
Hook = Callable[[Finished, Decision], Decision | Awaitable[Decision]]

STAGE_TRIES = 2
"""Tries of a stage whose answer is empty or whose failure may pass."""

HOPELESS = frozenset({"model_unauthorized", "model_unreachable", "request_rejected"})
"""Failures every other stage would meet as well."""


def validate_output(done: Finished, decision: Decision) -> Decision:
    """An empty answer is no answer: try once more, then stop."""
    if done.failure is None and not done.output.strip():
        return Retry("the answer was empty") if done.tries < STAGE_TRIES else Stop("the answer was empty")
    return decision


def decide_on_failure(done: Finished, decision: Decision) -> Decision:
    """A failed stage others depend on is worked around; a failed last one, or a hopeless cause, stops the run."""
    if done.failure is None:
        return decision
    if done.failure.code in HOPELESS or done.last:
        return Stop(done.failure.message)
    return Continue(f"(This step gave no result: {done.failure.message})")


def hand_on_context(done: Finished, decision: Decision) -> Decision:
    """Give later stages the answer, with its list of sources."""
    if done.failure is not None or not isinstance(decision, Continue):
        return decision
    text = done.output
    if done.citations and not listed(text):
        text = f"{text.rstrip()}\n\n{sources_list(done.citations)}"
    return Continue(text)


BUILTIN_HOOKS: tuple[Hook, ...] = (validate_output, decide_on_failure, hand_on_context)


def stop_when(predicate: Callable[[Finished], bool], reason: str) -> Hook:
    """A hook that ends the pipeline early, successfully, when ``predicate`` holds of a completed stage."""

    def stop(done: Finished, decision: Decision) -> Decision:
        return Stop(reason) if done.failure is None and predicate(done) else decision

    return stop


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a pipeline, in order."""

    hooks: Sequence[Hook] = field(default=BUILTIN_HOOKS)

    async def decide(self, done: Finished) -> Decision:
        """What the stage's end means. A hook that raises stops the run: it is a rule nobody could apply."""
        decision: Decision = Continue()
        for hook in self.hooks:
            result = hook(done, decision)
            decision = await result if inspect.isawaitable(result) else result
        return decision

    def with_users(self, paths: Sequence[str]) -> Hooks:
        """These hooks and those at ``module:function`` paths. Raises :class:`ConfigurationError`."""
        return replace(self, hooks=(*self.hooks, *(_load(path) for path in paths)))


def _load(path: str) -> Hook:
    module, _, name = path.partition(":")
    try:
        hook = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # a user's module: whatever it does when it is imported
        cause = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"hooks: {path!r} cannot be loaded ({cause}); write module:function") from error
    if not callable(hook):
        raise ConfigurationError(f"hooks: {path!r} is not a function")
    return hook  # type: ignore[no-any-return]  # a border: what an import path leads to has no type
