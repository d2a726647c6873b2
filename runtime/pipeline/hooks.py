"""Hooks: small functions between stages. The glue.

A post-hook runs after each stage: it is given what happened and the decision so far, and answers with a decision. A join
hook (:func:`joins`) runs before a stage that builds on several others: it is given the results of all of them, failures
included, and says what the stage is told. The built-in ones run first, then the user's (``settings.hooks``, import paths
``module:function``). A hook may be async. It may run again for the same stage, after a takeover. Make hooks that need values with a
factory, never with a closure over a loop variable (the user's article, pitfall 4); :func:`stop_when` is one.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runtime.agents.citations import listed, sources_list
from runtime.errors import ConfigurationError
from runtime.events.catalog import CitationAdded
from runtime.events.plan import Plan, Todo

Emit = Callable[[str, Any], None]
"""Takes the name and the value of an event of one's own. Any: the value is any that JSON can hold."""


def nowhere(name: str, value: Any) -> None:
    """An :data:`Emit` for hooks that are called by themselves, as in tests."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a stage ended without an answer."""

    code: str
    message: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person answered to a hook's question."""

    question: str
    text: str
    approved: bool = True
    """False: the person refused; ``text`` may say why."""


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
    answers: tuple[Answer, ...] = ()
    """What people answered to the hooks' questions about this stage, in the order of asking."""
    emit: Emit = field(default=nowhere, compare=False, repr=False)
    """``emit(name, value)`` puts a ``custom`` event into the run's stream: in one write with what is decided, so once,
    however often the hook runs. Raises ``ValueError`` for what JSON cannot hold."""

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


@dataclass(frozen=True, slots=True)
class Skip:
    """Go on without those todos, as far as they have not begun; ``context`` as in :class:`Continue`."""

    todos: tuple[str, ...]
    reason: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class Revise:
    """Go on with a changed plan; what has begun stays as it is; ``context`` as in :class:`Continue`."""

    reason: str
    todos: tuple[Todo, ...] = ()
    """New ones, and others in the place of those with the same id."""
    drop: tuple[str, ...] = ()
    """Todos to be left out."""
    context: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a person first; the hooks then run again, with the answer. Other stages go on meanwhile."""

    question: str
    options: tuple[str, ...] = ()
    """Answers to choose from; another one is possible."""


Decision = Continue | Retry | Stop | Skip | Revise | Ask
Hook = Callable[[Finished, Decision], Decision | Awaitable[Decision]]


@dataclass(frozen=True, slots=True)
class Branch:
    """One of the stages that another builds on, as it ended."""

    todo: Todo
    output: str = ""
    context: str = ""
    """What its post-hooks hand on."""
    citations: tuple[CitationAdded, ...] = ()
    failure: Failure | None = None
    skipped: str | None = None
    """Why it was not run."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A stage about to begin, with everything it builds on."""

    question: str
    plan: Plan
    todo: Todo
    branches: tuple[Branch, ...]
    """In the order of ``todo.depends_on``."""
    emit: Emit = field(default=nowhere, compare=False, repr=False)
    """As in :class:`Finished`."""


@dataclass(frozen=True, slots=True)
class Together:
    """Begin the stage; it is told ``context``, or what each branch hands on when that is None."""

    context: str | None = None


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """Do not run the stage."""

    reason: str


Joining = Together | LeaveOut | Stop
JoinFunction = Callable[[Joined, Joining], Joining | Awaitable[Joining]]


@dataclass(frozen=True, slots=True)
class JoinHook:
    """A join hook; :func:`joins` makes one of a function."""

    function: JoinFunction


def joins(function: JoinFunction) -> JoinHook:
    """Make ``function`` a join hook: it runs before each stage that builds on more than one other."""
    return JoinHook(function)


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
    join_hooks: Sequence[JoinHook] = ()

    async def decide(self, done: Finished) -> Decision:
        """What the stage's end means. A hook that raises stops the run: it is a rule nobody could apply."""
        decision: Decision = Continue()
        for hook in self.hooks:
            result = hook(done, decision)
            decision = await result if inspect.isawaitable(result) else result
        return decision

    async def join(self, joined: Joined) -> Joining:
        """What a stage that builds on several others is told. A hook that raises stops the run."""
        joining: Joining = Together()
        for hook in self.join_hooks:
            result = hook.function(joined, joining)
            joining = await result if inspect.isawaitable(result) else result
        return joining

    def with_users(self, paths: Sequence[str]) -> Hooks:
        """These hooks and those at ``module:function`` paths. Raises :class:`ConfigurationError`."""
        found = [_load(path) for path in paths]
        hooks = [hook for hook in found if not isinstance(hook, JoinHook)]
        join_hooks = [hook for hook in found if isinstance(hook, JoinHook)]
        return replace(self, hooks=(*self.hooks, *hooks), join_hooks=(*self.join_hooks, *join_hooks))


def _load(path: str) -> Hook | JoinHook:
    module, _, name = path.partition(":")
    try:
        hook = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # a user's module: whatever it does when it is imported
        cause = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"hooks: {path!r} cannot be loaded ({cause}); write module:function") from error
    if not callable(hook) and not isinstance(hook, JoinHook):
        raise ConfigurationError(f"hooks: {path!r} is not a function")
    return hook  # type: ignore[no-any-return]  # a border: what an import path leads to has no type
