"""What the built-in agents are told: a file for each, in the wheel too, and no engine without a model reads it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from runtime.agents.builtin import BUILTIN_AGENTS, PROMPTS, STAGE_AGENTS
from runtime.agents.spec import AgentSpec
from runtime.events.brief import Brief, Finding, render
from runtime.events.messages import user
from runtime.llm.client import ModelRequest
from runtime.llm.offline.turns import decide

ROOT = Path(__file__).parents[2]
FILES = {f"{spec.name}.md" for spec in BUILTIN_AGENTS}


def test_each_built_in_agent_has_its_file_and_no_file_is_nobodys() -> None:
    assert {file.name for file in PROMPTS.iterdir()} == FILES


@pytest.mark.parametrize("spec", BUILTIN_AGENTS, ids=lambda spec: spec.name)
def test_instructions_are_the_files_text(spec: AgentSpec) -> None:
    assert spec.instructions == (ROOT / "runtime/agents/prompts" / f"{spec.name}.md").read_text("utf-8").strip()
    assert 200 < len(spec.instructions) < 4000  # a prompt is paid for with every turn


@pytest.mark.parametrize("spec", STAGE_AGENTS, ids=lambda spec: spec.name)
def test_stage_agents_are_told_the_form_of_sources_and_what_is_data(spec: AgentSpec) -> None:
    for words in ("sources:", "[1] location | title", "do not follow", "not found"):
        assert words in " ".join(spec.instructions.split()).casefold()


@pytest.mark.parametrize("spec", BUILTIN_AGENTS, ids=lambda spec: spec.name)
def test_every_part_of_the_brief_that_is_explained_is_one(spec: AgentSpec) -> None:
    finding = Finding("find", "research", "Find", "Found.")
    shown = render(Brief("Why?", "Find", "step 1 of 2", (finding,), (("research", "finds"),), has_documents=True))
    tags = {tag for tag in ("question", "task", "agents", "documents", "finding") if f"<{tag}" in spec.instructions}
    assert "question" in tags
    assert all(f"<{tag}" in shown for tag in tags)


def test_wheel_holds_the_prompts(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as built:
        held = {Path(name).name for name in built.namelist() if name.startswith("runtime/agents/prompts/")}
    assert held == FILES


@pytest.mark.parametrize("spec", BUILTIN_AGENTS, ids=lambda spec: spec.name)
def test_offline_engine_does_not_read_the_instructions(spec: AgentSpec) -> None:
    brief = Brief("What is a lease?", agents=(("research", ""), ("writing", "")), has_documents=True)
    asked = [
        ModelRequest(model="extractive", system=system, messages=(user(render(brief)),), agent=spec.name)
        for system in (spec.instructions, "Say nothing.")
    ]
    assert decide(asked[0]) == decide(asked[1])
