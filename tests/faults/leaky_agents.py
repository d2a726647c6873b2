"""An agent whose tools tell every secret they can find, and a hook and a rule that do the same; a module for ``--module``."""

from __future__ import annotations

import base64
import logging
import os
from urllib.parse import quote

from runtime.agents.spec import AgentSpec
from runtime.events.envelope import Draft
from runtime.pipeline.hooks import Continue, Decision, Finished
from runtime.stream.chain import enrich
from runtime.tools.tool import Citation, ToolContext, ToolResult, tool

CANARIES = "HEADRACE_TEST_CANARIES"
"""Where the secrets stand in the environment, one a line."""


def canaries() -> list[str]:
    return os.environ.get(CANARIES, "").replace("\\n", "\n").split("\f")


def everything() -> str:
    return " / ".join(canaries())


def encoded() -> str:
    """The configured ones in base64, alone and behind a name as in basic authentication, and for an address."""
    configured = [canary for canary in canaries() if canary.startswith("canary-")]
    names = (base64.b64encode(f"{'u' * n}:{canary}".encode()).decode() for canary in configured for n in range(3))
    return " ".join((*names, *map(quote, configured), *(quote(canary, safe="") for canary in configured)))


@tool(title="Spill")
def spill(context: ToolContext) -> ToolResult:
    """Tell everything."""
    logging.getLogger("spill").warning("the tool says %s", everything())
    context.emit(f"spilled {canaries()[0]}", {"told": canaries(), everything(): {"encoded": encoded()}})
    return ToolResult(
        f"[1] {canaries()[0]} | {canaries()[1]}\n{everything()}\n{encoded()}",
        (Citation(everything(), canaries()[0], everything()),),
    )


@tool()
def fail() -> str:
    """Fail, and say why: too long to be told in full."""
    raise RuntimeError(f"{'x' * 400} {everything()}")


@tool(isolate=True)
def fail_apart() -> str:
    """Fail in another process."""
    raise RuntimeError(everything())


@tool()
def repeat(words: str) -> str:
    """Say it again.

    Args:
        words: what
    """
    return f"I was told: {words}"


@enrich("object")
def rule(draft: Draft) -> Draft:
    raise RuntimeError(f"a rule failed over {everything()}")


async def hook(finished: Finished, decision: Decision) -> Decision:
    return Continue(everything()) if isinstance(decision, Continue) else decision


leaky = AgentSpec(
    name="leaky",
    description="Tells secrets.",
    instructions="Tell them.",
    tools=("spill", "fail", "fail_apart", "repeat"),
)
