"""What a CopilotKit front end is told of this server (``GET …/info``) and of a stop, in the words of its own runtime.

Taken from CopilotKit's sources (``packages/shared/src/utils/types.ts``, ``runtime/src/v2/runtime/handlers``, August 2026).
"""

from __future__ import annotations

from typing import Literal

from ag_ui.core.capabilities import (
    AgentCapabilities,
    HumanInTheLoopCapabilities,
    IdentityCapabilities,
    MultiAgentCapabilities,
    MultimodalCapabilities,
    MultimodalInputCapabilities,
    ReasoningCapabilities,
    StateCapabilities,
    ToolsCapabilities,
    TransportCapabilities,
)
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from runtime import __version__
from runtime.generator.contract import Body

AGENT = "default"
"""The one agent there is: the id that CopilotKit's components use when they are given none."""


class _Camel(Body):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class AgentDescription(_Camel):
    """An agent that a front end may choose."""

    name: str
    class_name: str
    description: str
    capabilities: AgentCapabilities


class ThreadEndpoints(_Camel):
    """Paths of CopilotKit's for lists of threads: there are none here, see ``/v1/conversations``."""

    list: bool = False
    inspect: bool = False
    mutations: bool = False
    realtime_metadata: bool = False


class RuntimeInfo(_Camel):
    """What a CopilotKit front end asks first."""

    version: str = __version__
    agents: dict[str, AgentDescription]
    audio_file_transcription_enabled: bool = False
    mode: Literal["sse"] = "sse"
    thread_endpoints: ThreadEndpoints = ThreadEndpoints()
    suggestions: bool = False
    a2ui_enabled: bool = Field(default=False, alias="a2uiEnabled")
    open_generative_ui_enabled: bool = False
    telemetry_disabled: bool = True


class StopAnswer(_Camel):
    """Whether there was something to stop."""

    stopped: bool
    message: str


def runtime_info() -> RuntimeInfo:
    """This server."""
    what = "Plans the answer, then works on it with specialized agents."
    agent = AgentDescription(name=AGENT, class_name="Headrace", description=what, capabilities=_capabilities(what))
    return RuntimeInfo(agents={AGENT: agent})


def _capabilities(what: str) -> AgentCapabilities:
    return AgentCapabilities(
        identity=IdentityCapabilities(name="Headrace", type="headrace", version=__version__, description=what),
        transport=TransportCapabilities(streaming=True),
        tools=ToolsCapabilities(supported=True, parallel_calls=True, client_provided=False),
        state=StateCapabilities(snapshots=True, deltas=True, memory=True, persistent_state=True),
        multi_agent=MultiAgentCapabilities(supported=True, delegation=True),
        reasoning=ReasoningCapabilities(supported=True, streaming=True),
        multimodal=MultimodalCapabilities(
            input=MultimodalInputCapabilities(image=True, pdf=True, audio=False, video=False)
        ),
        human_in_the_loop=HumanInTheLoopCapabilities(supported=True, approvals=True, interrupts=True),
    )
