"""What a system is made of follows from its settings; a mistake in them or in a user's module is told before a start."""

from __future__ import annotations

import itertools
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.bootstrap.control import build_agent
from runtime.bootstrap.models import build_ladder
from runtime.clock import ManualClock
from runtime.composition import BUILTIN_TOOLS, compose, model_words
from runtime.config import load
from runtime.errors import ConfigurationError
from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from runtime.llm.local.note import AGENTS_FOR_DEFAULT_WEIGHTS, DEFAULT_GGUF
from runtime.log.hub import Hub
from runtime.log.memory import MemoryLog
from runtime.log.publisher import Publisher
from runtime.pipeline.hooks import BUILTIN_HOOKS

MODULE = '''
    from runtime.agents.spec import AgentSpec
    from runtime.events.catalog import Custom
    from runtime.events.envelope import Draft
    from runtime.stream.chain import process
    from runtime.tools.tool import tool

    @tool
    def weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    METEOROLOGIST = AgentSpec(
        name="meteorologist", description="Knows the weather.", instructions="Tell it.", tools=("weather",),
    )

    @process("object")
    def hide_weather(draft: Draft) -> Draft | None:
        return None if isinstance(draft.event, Custom) and draft.event.name == "weather" else draft

    def hook(done, decision):
        return decision
'''

_numbers = itertools.count()
Write = Callable[..., str]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("HEADRACE_", "ANTHROPIC_")):
            monkeypatch.delenv(name)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module with a name of its own that can be imported, and gives the name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(source: str) -> str:
        name = f"users_module_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    return write


def composed(tmp_path: Path, **given: Any) -> Any:
    return compose(load(**{"data_dir": tmp_path / "data", **given}))


def refusal(tmp_path: Path, **given: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        composed(tmp_path, **given)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_without_modules_there_are_the_built_in_agents_tools_and_hooks(tmp_path: Path) -> None:
    parts = composed(tmp_path)
    assert {spec.name for spec in parts.team} == {"research", "analysis", "writing"}
    assert set(parts.planners) == {"planner", "titler", "guardrail"}
    assert parts.registry.all() == BUILTIN_TOOLS
    assert tuple(parts.hooks.hooks) == BUILTIN_HOOKS


async def test_a_users_agent_tool_chain_function_and_hook_are_found(tmp_path: Path, module: Write) -> None:
    name = module(MODULE)
    parts = composed(tmp_path, modules=(name,), hooks=(f"{name}:hook",))
    assert "meteorologist" in {spec.name for spec in parts.team}
    tool = parts.registry.get("weather")
    assert tool is not None
    assert tool(city="Bern") == "sunny in Bern"
    assert parts.ladders["meteorologist"] == ("offline:extractive",)
    hidden = await parts.chain.run(Draft(ev.Custom(name="weather", value=1)))
    assert hidden.event == ev.Custom(name="withheld", value={"type": "custom"})
    assert parts.hooks.hooks[-1].__name__ == "hook"


async def test_calls_of_a_users_tool_are_shown_with_its_title(tmp_path: Path, module: Write) -> None:
    parts = composed(tmp_path, modules=(module(MODULE),))
    shown = await parts.chain.run(Draft(ev.ToolCalled(call_id="c", name="weather", arguments={})))
    assert isinstance(shown.event, ev.ToolCalled)
    assert (shown.event.title, shown.event.description) == ("Weather", "The weather in a city.")


def test_a_users_agent_takes_the_place_of_a_built_in_one_of_its_name(tmp_path: Path, module: Write) -> None:
    name = module(
        """
        from runtime.agents.spec import AgentSpec
        MINE = AgentSpec(name="writing", description="Mine.", instructions="Mine.")
        """
    )
    assert composed(tmp_path, modules=(name,)).specs["writing"].description == "Mine."


def test_something_two_modules_share_counts_once(tmp_path: Path, module: Write) -> None:
    first = module(MODULE)
    second = module(f"from {first} import METEOROLOGIST, weather, hide_weather")
    parts = composed(tmp_path, modules=(first, second))
    assert [tool.name for tool in parts.registry.all()].count("weather") == 1


def test_two_different_things_of_one_name_are_refused_with_both_places(tmp_path: Path, module: Write) -> None:
    first, second = module(MODULE), module(MODULE)
    message = refusal(tmp_path, modules=(first, second))
    assert first in message
    assert second in message
    assert "rename one" in message


def test_a_tool_that_takes_a_built_in_name_is_refused(tmp_path: Path, module: Write) -> None:
    name = module(
        '''
        from runtime.tools.tool import tool
        @tool
        def search_documents(query: str) -> str:
            """Mine."""
            return query
        '''
    )
    assert "two tools are called 'search_documents'" in refusal(tmp_path, modules=(name,))


def test_an_agent_that_names_an_unknown_tool_is_refused(tmp_path: Path, module: Write) -> None:
    name = module(
        """
        from runtime.agents.spec import AgentSpec
        A = AgentSpec(name="a", description="d", instructions="i", tools=("nothing", "read_document", "nobody"))
        """
    )
    message = refusal(tmp_path, modules=(name,))
    assert message == "agent 'a' names tools that do not exist: nothing, nobody"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        (
            "from runtime.tools.tool import tool\n@tool\ndef t(x):\n    '''Doc.'''",
            "parameter 'x' needs a type hint",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_cause(
    tmp_path: Path, module: Write, source: str, words: str
) -> None:
    name = module(source)
    message = refusal(tmp_path, modules=(name,))
    assert f"module {name!r} cannot be imported" in message
    assert words in message


@pytest.mark.parametrize("path", ["a b", "./users.py", "", "users:module", "users..module"])
def test_a_module_that_is_no_import_path_is_refused(tmp_path: Path, path: str) -> None:
    assert "is no import path" in refusal(tmp_path, modules=(path,))


@pytest.mark.parametrize("path", ["no_such_module:hook", "runtime.errors:nothing", "runtime.errors", ":", ""])
def test_a_hook_that_cannot_be_loaded_is_refused_with_the_form_to_write(tmp_path: Path, path: str) -> None:
    assert "write module:function" in refusal(tmp_path, hooks=(path,))


def test_a_hook_that_is_no_function_is_refused(tmp_path: Path, module: Write) -> None:
    name = module("hook = 3")
    assert refusal(tmp_path, hooks=(f"{name}:hook",)) == f"hooks: '{name}:hook' is not a function"


def test_a_hooks_module_that_fails_is_refused_with_the_cause(tmp_path: Path, module: Write) -> None:
    name = module("1 / 0")
    message = refusal(tmp_path, hooks=(f"{name}:hook",))
    assert name in message
    assert "division by zero" in message


# --- models ----------------------------------------------------------------------------------------------------------


def test_every_agent_of_a_kind_of_model_has_one_rung(tmp_path: Path) -> None:
    script = tmp_path / "play.toml"
    script.write_text("")
    expected = {
        "offline:extractive": {"model": "offline"},
        "scripted:built-in": {"model": "scripted"},
        "scripted:play.toml": {"model": "scripted", "script": script},
        "anthropic:claude-x": {"model": "anthropic", "anthropic_model": "claude-x", "ANTHROPIC_API_KEY": "sk"},
    }
    for model, given in expected.items():
        parts = composed(tmp_path, **given)
        assert set(parts.ladders.values()) == {(model,)}
        assert parts.models == dict.fromkeys(parts.specs, model)
        assert not parts.needs_local


def test_the_default_weights_are_used_only_where_they_are_fit(tmp_path: Path) -> None:
    weights = tmp_path / "data" / "models" / DEFAULT_GGUF
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    parts = composed(tmp_path, model="local")
    local = {name for name, ladder in parts.ladders.items() if ladder[0].startswith("local:")}
    assert local == AGENTS_FOR_DEFAULT_WEIGHTS
    assert {parts.ladders[name] for name in set(parts.specs) - local} == {("offline:extractive",)}
    assert parts.needs_local
    assert "very small language model" in (parts.note() or "")


def test_weights_of_the_users_own_are_used_everywhere(tmp_path: Path) -> None:
    weights = tmp_path / "big.gguf"
    weights.write_bytes(b"")
    parts = composed(tmp_path, model="local", gguf=weights)
    assert set(parts.ladders.values()) == {("local:big",)}
    assert parts.note() is None


def test_local_without_weights_says_how_to_get_them(tmp_path: Path) -> None:
    assert "headrace models fetch smollm2" in refusal(tmp_path, model="local")


def test_a_setting_wins_over_an_agents_own_ladder_and_that_over_the_default(tmp_path: Path, module: Write) -> None:
    name = module(
        """
        from runtime.agents.spec import AgentSpec
        models = ("anthropic:claude-a", "offline:extractive")
        A = AgentSpec(name="a", description="d", instructions="i", models=models)
        B = AgentSpec(name="b", description="d", instructions="i", models=models)
        """
    )
    parts = composed(tmp_path, modules=(name,), agent_models={"b": "scripted:x"})
    assert parts.ladders["a"] == ("anthropic:claude-a", "offline:extractive")
    assert parts.ladders["b"] == ("scripted:x",)
    assert parts.ladders["writing"] == ("offline:extractive",)


@pytest.mark.parametrize("model", ["claude-sonnet-5", "openai:gpt", "anthropic:", ":x"])
def test_a_model_that_names_no_adapter_is_refused_with_the_form_to_write(tmp_path: Path, model: str) -> None:
    message = refusal(tmp_path, agent_models={"planner": model})
    assert "agent 'planner'" in message
    assert "adapter:name" in message


def test_a_model_for_an_agent_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, agent_models={"palnner": "offline:extractive"})
    assert message == "agent_models names agents that do not exist: palnner"


def test_offline_answers_carry_a_note_and_a_language_models_do_not(tmp_path: Path) -> None:
    assert composed(tmp_path).note()
    assert composed(tmp_path, ANTHROPIC_API_KEY="sk").note() is None


def test_the_first_line_of_a_server_names_the_model_and_no_secret(tmp_path: Path) -> None:
    settings = load(data_dir=tmp_path, ANTHROPIC_API_KEY="sk-canary", anthropic_model="claude-x")
    assert model_words(settings) == "anthropic: claude-x at Anthropic's API"
    assert model_words(load(data_dir=tmp_path, model="scripted")).startswith("scripted: the built-in script")
    assert "no language model" in model_words(load(data_dir=tmp_path))


# --- ladders and delegates -------------------------------------------------------------------------------------------

TEAM = """
    from runtime.agents.spec import AgentSpec
    LEAD = AgentSpec(name="lead", description="Leads.", instructions="Lead.", delegates=("worker", "lead"))
    WORKER = AgentSpec(name="worker", description="Works.", instructions="Work.", delegates=("helper",))
    HELPER = AgentSpec(name="helper", description="Helps.", instructions="Help.", models=("local:m",))
"""


def rungs_of(parts: Any, agent: str) -> list[tuple[str, str]]:
    ladder = build_ladder(parts, parts.specs[agent], ManualClock(), None)
    return [(rung.name, rung.instructions) for rung in ladder]


@pytest.mark.parametrize(
    ("fields", "rungs"),
    [
        ("", [("offline:a", "Long.")]),
        ('simpler_instructions="Short.",', [("offline:a", "Long."), ("offline:a (simpler prompt)", "Short.")]),
        ('models=("offline:a", "scripted:b"),', [("offline:a", "Long."), ("scripted:b", "Long.")]),
        (
            'models=("offline:a", "scripted:b"), simpler_instructions="Short.",',
            [("offline:a", "Long."), ("offline:a (simpler prompt)", "Short."), ("scripted:b", "Short.")],
        ),
    ],
)
def test_a_ladder_goes_from_the_first_model_over_a_simpler_prompt_to_other_models(
    tmp_path: Path, module: Write, fields: str, rungs: list[tuple[str, str]]
) -> None:
    fields = fields if "models" in fields else f'models=("offline:a",), {fields}'
    name = module(
        f"""
        from runtime.agents.spec import AgentSpec
        MINE = AgentSpec(name="mine", description="Mine.", instructions="Long.", {fields})
        """
    )
    assert rungs_of(composed(tmp_path, modules=(name,)), "mine") == rungs


def test_an_agents_process_holds_whoever_it_may_delegate_to_directly_or_not(tmp_path: Path, module: Write) -> None:
    parts = composed(tmp_path, modules=(module(TEAM),))
    assert {spec.name for spec in parts.helpers("lead")} == {"worker", "lead", "helper"}
    assert parts.helpers("research") == ()
    assert (parts.uses_local("lead"), parts.uses_local("helper"), parts.uses_local("writing")) == (True, True, False)


async def test_an_agent_is_built_with_the_agents_it_may_delegate_to(tmp_path: Path, module: Write) -> None:
    parts = composed(tmp_path, modules=(module(TEAM.replace('("local:m",)', "()")),))
    clock = ManualClock()
    publisher = Publisher("test", Hub(MemoryLog(clock), clock), clock, interval_s=0.0)
    lead = build_agent(parts, parts.specs["lead"], publisher, clock)
    assert (lead.name, set(lead._tools.team)) == ("lead", {"lead", "worker", "helper"})
    assert lead._tools.team["lead"] is lead._tools, "one agent, however it is called"
    assert len({id(tools.turn.counts) for tools in lead._tools.team.values()}) == 1, "counted together"


@pytest.mark.parametrize(
    ("delegates", "words"), [("nobody", "no stage agent: nobody"), ("planner", "no stage agent: planner")]
)
def test_delegating_to_what_is_no_stage_agent_is_refused_before_a_start(
    tmp_path: Path, module: Write, delegates: str, words: str
) -> None:
    name = module(
        f"""
        from runtime.agents.spec import AgentSpec
        MINE = AgentSpec(name="mine", description="Mine.", instructions="Mine.", delegates=("{delegates}",))
        """
    )
    assert words in refusal(tmp_path, modules=(name,))


def test_a_tool_called_delegate_is_refused_for_an_agent_that_has_delegates(tmp_path: Path, module: Write) -> None:
    name = module(
        """
        from runtime.agents.spec import AgentSpec
        from runtime.tools.tool import tool
        @tool
        def delegate() -> str:
            'Delegate.'
            return ""
        MINE = AgentSpec(name="mine", description="M.", instructions="M.", delegates=("research",), tools=("delegate",))
        """
    )
    assert "rename the tool" in refusal(tmp_path, modules=(name,))


def test_the_document_tools_read_private_data_and_words_of_strangers_and_send_nothing() -> None:
    assert {tool.tags for tool in BUILTIN_TOOLS} == {("reads_private", "untrusted")}
