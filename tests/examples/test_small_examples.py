"""The examples that are one module with one idea: planner, chain, viewer, own event. Each in a whole run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from examples import own_event, planner
from examples.own_event import Progress
from runtime.agents import builtin
from runtime.composition import compose
from runtime.config import Settings
from runtime.errors import ConfigurationError, ModelRequestRejected
from runtime.events import catalog as ev
from runtime.events.own import OwnEvent
from runtime.events.plan import Todo
from runtime.llm.client import Chunk, ModelClient, ModelRequest
from runtime.testing import ask, calls, plans, says, scripted

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
WRITE = Todo(id="write", title="Write it", agent="writing")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_short_and_says_how_to_try_it(example: Path) -> None:
    text = example.read_text("utf-8")
    assert len(text.splitlines()) < 80
    assert "headrace serve" in text.split('"""')[1] or "python -m examples." in text.split('"""')[1]


def settings(folder: Path, module: str, **more: Any) -> Settings:
    return Settings(model="scripted", log="memory:", data_dir=folder, modules=(f"examples.{module}",), **more)


async def test_a_planner_of_ones_own_is_the_one_that_is_asked(tmp_path: Path) -> None:
    told: list[str] = []
    script = scripted(plans(WRITE), says("writing", "So it is."))

    class Listening:
        def __init__(self, client: ModelClient) -> None:
            self._client = client

        def stream(self, request: ModelRequest) -> Any:
            if request.agent == "planner":
                told.append(request.system)
            return self._client.stream(request)

        async def aclose(self) -> None: ...

    run = await ask("Is it?", lambda real: Listening(script(real)), settings(tmp_path, "planner"))
    assert isinstance(run.end, ev.RunCompleted)
    assert told == [planner.PLANNER.instructions]
    assert told[0].startswith(builtin.PLANNER.instructions)
    assert "Rules of this house" in told[0]


async def test_chain_rules_change_what_is_stored(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "refund-policy.md").write_text(
        "# Refunds\n\nA refund takes\nfourteen days after\nthe return.\n"
    )
    find = Todo(id="find", title="Find it", agent="research")
    script = scripted(
        plans(find, WRITE.model_copy(update={"depends_on": ("find",)})),
        calls("research", "search_documents", query="refund days"),
        says("research", "It takes fourteen days [1]."),
        says("writing", "Fourteen days."),
    )
    run = await ask("How long?", script, settings(tmp_path, "chain", documents=tmp_path / "docs"))
    [cited] = run.of(ev.CitationAdded, stage="find")
    assert cited.title.endswith("(Support)")
    assert "fourteen days after the return" in cited.quote


async def test_errors_are_stored_without_addresses(tmp_path: Path) -> None:
    class Rejecting:
        async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
            raise ModelRequestRejected("the account of ada@example.com is closed")
            yield

        async def aclose(self) -> None: ...

    run = await ask("How long?", lambda real: Rejecting(), settings(tmp_path, "chain"))
    assert isinstance(run.end, ev.RunFailed)
    assert "the account of (address) is closed" in run.end.message
    errors = [e.event for e in run if e.event.family == "error"]
    assert len(errors) > 1
    assert "ada@example.com" not in str(errors)


async def test_a_tool_says_how_far_it_is_in_a_type_of_its_own(tmp_path: Path) -> None:
    count = Todo(id="count", title="Count the words", agent="counter")
    script = scripted(plans(count), calls("counter", "count_words"), says("counter", "Twelve."))
    run = await ask("How many words?", script, settings(tmp_path, "own_event"))
    run.assert_grammar()
    seen = [progress for e in run if (progress := Progress.read(e.event)) is not None]
    assert seen == [Progress(done=n, of=3) for n in (1, 2, 3)]
    assert [done.result for done in run.of(ev.ToolCompleted)] == [str(sum(len(c.split()) for c in own_event.CHAPTERS))]


def test_an_event_of_ones_own_reads_only_its_own() -> None:
    assert Progress.read(ev.Custom(name="other", value={"done": 1, "of": 3})) is None
    assert Progress.read(ev.Hidden()) is None
    with pytest.raises(ValueError, match="of"):
        Progress.read(ev.Custom(name="progress", value={"done": 1}))
    with pytest.raises(TypeError, match="needs a name"):
        type("Nameless", (OwnEvent,), {})


def test_the_examples_can_be_used_together() -> None:
    modules = tuple(f"examples.{path.stem}" for path in EXAMPLES if path.stem not in ("mcp_time", "document_research"))
    assert {"desk", "counter", "calendar"} <= compose(Settings(model="scripted", modules=modules)).specs.keys()


def test_a_planning_agent_has_the_name_and_the_role_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    made = "from runtime.agents.spec import AgentSpec\nA = AgentSpec(name={!r}, role={!r}, description='d', instructions='i')"
    for name, role, problem in (
        ("planner", "stage", "takes the place of a built-in one of role 'planning'; give it that role"),
        ("planner2", "planning", "is never asked: planning agents are called planner, titler, guardrail"),
        ("writing", "planning", "is never asked: planning agents are called planner, titler, guardrail"),
    ):
        module = f"odd_{name}_{role}"
        (tmp_path / f"{module}.py").write_text(made.format(name, role))
        with pytest.raises(ConfigurationError, match=f"agent '{name}' {problem}"):
            compose(Settings(model="scripted", modules=(module,)))
