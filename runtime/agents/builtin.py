"""The built-in agents: planner, titler and guardrail for planning; research, analysis and writing for the work.

What each is told stands beside this module, in ``prompts/<agent>.md``.
"""

from __future__ import annotations

from importlib.resources import files

from runtime.agents.spec import AgentSpec

PROMPTS = files("runtime.agents") / "prompts"
"""The folder of the built-in agents' instructions, also in an installed wheel."""


def _prompt(agent: str) -> str:
    return (PROMPTS / f"{agent}.md").read_text("utf-8").strip()


PLANNER = AgentSpec(
    name="planner",
    role="planning",
    description="Breaks a question into todos for the specialized agents.",
    instructions=_prompt("planner"),
    max_tokens=2048,
    timeout_s=60.0,
)

TITLER = AgentSpec(
    name="titler",
    role="planning",
    description="Names what a conversation is about.",
    instructions=_prompt("titler"),
    max_tokens=200,
    timeout_s=20.0,
)

GUARDRAIL = AgentSpec(
    name="guardrail",
    role="planning",
    description="Decides whether a request may be worked on.",
    instructions=_prompt("guardrail"),
    max_tokens=300,
    timeout_s=30.0,
)

RESEARCH = AgentSpec(
    name="research",
    description="Searches the user's documents and reports what they say, with sources.",
    instructions=_prompt("research"),
    tools=("search_documents", "read_document"),
    max_tool_calls=25,
)

ANALYSIS = AgentSpec(
    name="analysis",
    description="Compares, groups and weighs what research found; sees only findings, not the documents.",
    instructions=_prompt("analysis"),
    tools=("calculate",),
)

WRITING = AgentSpec(
    name="writing",
    description="Writes the answer for the person from what the earlier steps found.",
    instructions=_prompt("writing"),
)

PLANNING_AGENTS = (PLANNER, TITLER, GUARDRAIL)
STAGE_AGENTS = (RESEARCH, ANALYSIS, WRITING)
BUILTIN_AGENTS = (*PLANNING_AGENTS, *STAGE_AGENTS)
