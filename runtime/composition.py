"""What a system is made of, worked out from the settings: agents, tools, hooks, chain functions and each agent's models.

Pure but for importing users' modules; the same in every process, since each makes its own from the same settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from runtime.agents.builtin import BUILTIN_AGENTS, PLANNING_AGENTS
from runtime.agents.gate import DELEGATE
from runtime.agents.metadata import tool_metadata, tool_visibility
from runtime.agents.spec import AgentSpec
from runtime.config import Settings
from runtime.errors import ConfigurationError
from runtime.llm.client import ModelNote
from runtime.llm.local.note import AGENTS_FOR_DEFAULT_WEIGHTS, note_for
from runtime.llm.offline.note import NOTE as OFFLINE_NOTE
from runtime.llm.scripted import NOTE as SCRIPTED_NOTE
from runtime.llm.weights import default_gguf
from runtime.modules import collect, load_modules
from runtime.pipeline.hooks import Hooks
from runtime.secret_values import redactor_of
from runtime.stream.chain import Chain, ChainFunction
from runtime.stream.view import View, Viewer, ViewFunction
from runtime.tools.calculate import calculate
from runtime.tools.documents.tools import read_document, search_documents
from runtime.tools.fetch.fetcher import Fetcher
from runtime.tools.fetch.tool import NAME as FETCH_PAGE
from runtime.tools.fetch.tool import fetch_tool
from runtime.tools.people import ask_person
from runtime.tools.registry import Registry
from runtime.tools.tool import SEPARATOR, Tool

BUILTIN_TOOLS = (search_documents, read_document, calculate, ask_person)
PLANNING_NAMES = tuple(spec.name for spec in PLANNING_AGENTS)
ALL = "*"
"""Behind an MCP server's name: all its tools."""
ADAPTERS = ("offline", "local", "anthropic", "scripted")


@dataclass(frozen=True, slots=True)
class Composition:
    """Everything chosen, nothing started."""

    settings: Settings
    specs: dict[str, AgentSpec]
    registry: Registry
    chain: Chain
    functions: tuple[ChainFunction, ...]
    """Users' chain functions."""
    views: tuple[ViewFunction, ...]
    """Users' rules of what a viewer may see."""
    hooks: Hooks
    ladders: dict[str, tuple[str, ...]]
    """Agent -> its models, best first, as ``adapter:name``."""

    def view(self, viewer: Viewer) -> View:
        """What ``viewer`` is shown."""
        tools = tool_visibility(self.registry)
        return View((*((tools,) if tools is not None else ()), *self.views), viewer)

    @property
    def team(self) -> tuple[AgentSpec, ...]:
        """The agents a todo may name."""
        return tuple(spec for spec in self.specs.values() if spec.role == "stage")

    def with_tools(self, more: Sequence[Tool]) -> Composition:
        """The same with tools found since, such as those of MCP servers; agents that name all of a server's get them."""
        registry = Registry((*self.registry.all(), *(tool for tool in more if self.registry.get(tool.name) is None)))
        specs = {name: _expanded(spec, more) for name, spec in self.specs.items()}
        chain = Chain((tool_metadata(registry), *self.functions), self.chain.redactor)
        return replace(self, registry=registry, specs=specs, chain=chain)

    @property
    def planners(self) -> dict[str, AgentSpec]:
        return {name: spec for name, spec in self.specs.items() if spec.role == "planning"}

    def helpers(self, agent: str) -> tuple[AgentSpec, ...]:
        """The agents that work in the process of that one: those it may delegate to, those they may, and so on."""
        found: dict[str, AgentSpec] = {}
        pending = list(self.specs[agent].delegates)
        while pending:
            name = pending.pop(0)
            if name not in found:
                found[name] = self.specs[name]
                pending.extend(self.specs[name].delegates)
        return tuple(found.values())

    def uses_local(self, agent: str) -> bool:
        """Whether the process of that agent uses the local model."""
        names = {agent, *(spec.name for spec in self.helpers(agent))}
        return any(model.startswith("local:") for name in names for model in self.ladders[name])

    @property
    def models(self) -> dict[str, str]:
        """Agent -> its first model, in words for people."""
        return {name: ladder[0] for name, ladder in self.ladders.items()}

    @property
    def needs_local(self) -> bool:
        """Whether any agent uses the local model."""
        return any(model.startswith("local:") for ladder in self.ladders.values() for model in ladder)

    def notes(self) -> tuple[ModelNote, ...]:
        """What must be said of the models in use."""
        adapters = {ladder[0].partition(":")[0] for ladder in self.ladders.values()}
        if "local" in adapters:
            return (note_for(gguf_of(self.settings)),)
        notes = {"offline": OFFLINE_NOTE, "scripted": SCRIPTED_NOTE}
        return tuple(notes[adapter] for adapter in sorted(adapters & notes.keys()))

    def note(self) -> str | None:
        """The same as one text, for answers; None when there is nothing to say."""
        return " ".join(note.words for note in self.notes() if note.words) or None


def compose(settings: Settings) -> Composition:
    """The composition of ``settings``. Raises :class:`ConfigurationError` naming the setting and the remedy."""
    if settings.mcp_servers and find_spec("mcp") is None:
        raise ConfigurationError('mcp_servers needs mcp, which is not installed: pip install "headrace[mcp]"')
    modules = load_modules(settings.modules)
    fetching = (fetch_tool(settings.fetch_hosts, Fetcher()),) if settings.fetch_hosts else ()  # off by default
    registry = Registry((*BUILTIN_TOOLS, *fetching, *collect(modules, Tool)))
    specs = {spec.name: spec for spec in (*BUILTIN_AGENTS, *collect(modules, AgentSpec))}
    _give(specs, FETCH_PAGE, "fetch_hosts", settings.fetch_hosts)
    for server, about in settings.mcp_servers.items():
        _give(specs, f"{server}{SEPARATOR}{ALL}", f"mcp_servers.{server}.agents", about.agents)
    functions = tuple(collect(modules, ChainFunction))
    for spec in specs.values():
        missing = [
            name for name in spec.tools if registry.get(name) is None and server_of(name) not in settings.mcp_servers
        ]
        if missing:
            remedy = "; name its hosts in fetch_hosts" if FETCH_PAGE in missing else ""
            raise ConfigurationError(f"agent {spec.name!r} names tools that do not exist: {', '.join(missing)}{remedy}")
        _check_role(spec)
        _check_delegates(spec, specs)
    unknown = sorted(set(settings.agent_models) - set(specs))
    if unknown:
        raise ConfigurationError(f"agent_models names agents that do not exist: {', '.join(unknown)}")
    return Composition(
        settings=settings,
        specs=specs,
        registry=registry,
        chain=Chain((tool_metadata(registry), *functions), redactor_of(settings)),
        functions=functions,
        views=tuple(collect(modules, ViewFunction)),
        hooks=Hooks().with_users(settings.hooks),
        ladders={name: _ladder(settings, spec) for name, spec in specs.items()},
    )


def _check_role(spec: AgentSpec) -> None:
    if spec.name in PLANNING_NAMES and spec.role != "planning":
        raise ConfigurationError(
            f"agent {spec.name!r} takes the place of a built-in one of role 'planning'; give it that role"
        )
    if spec.role == "planning" and spec.name not in PLANNING_NAMES:
        names = ", ".join(PLANNING_NAMES)
        raise ConfigurationError(f"agent {spec.name!r} is never asked: planning agents are called {names}")


def _check_delegates(spec: AgentSpec, specs: dict[str, AgentSpec]) -> None:
    wrong = [name for name in spec.delegates if name not in specs or specs[name].role != "stage"]
    if wrong:
        raise ConfigurationError(f"agent {spec.name!r} delegates to what is no stage agent: {', '.join(wrong)}")
    if spec.delegates and DELEGATE in spec.tools:
        raise ConfigurationError(f"agent {spec.name!r} has delegates and a tool called {DELEGATE!r}; rename the tool")


def model_words(settings: Settings) -> str:
    """One line that says which model is used, for the start of a server."""
    kind = settings.chosen_model()
    match kind:
        case "anthropic":
            where = settings.anthropic_base_url or "Anthropic's API"
            return f"anthropic: {settings.anthropic_model} at {where}"
        case "local":
            return f"local: {note_for(gguf_of(settings)).name} (llama.cpp on this machine)"
        case "scripted":
            return f"scripted: {settings.script or 'the built-in script'} (no language model: plays what is written)"
        case _:
            return (
                "offline: an extractive engine, no language model (set ANTHROPIC_API_KEY or use --model local for one)"
            )


def gguf_of(settings: Settings) -> Path:
    """The weights of the local model. Raises :class:`ConfigurationError` when there are none."""
    found = settings.gguf or default_gguf(settings.data_dir)
    if found is None:
        raise ConfigurationError(
            "there are no weights for --model local: run `headrace models fetch smollm2` or give --gguf"
        )
    return found


def server_of(tool: str) -> str:
    """The MCP server in the name of a tool; empty when it has none."""
    server, separator, _ = tool.partition(SEPARATOR)
    return server if separator else ""


def _expanded(spec: AgentSpec, more: Sequence[Tool]) -> AgentSpec:
    """``spec`` with the tools that ``server__*`` stands for."""
    names: dict[str, None] = {}
    for name in spec.tools:
        prefix = name.removesuffix(ALL)
        of_server = (tool.name for tool in more if tool.name.startswith(prefix))
        names |= dict.fromkeys(of_server if name.endswith(SEPARATOR + ALL) else (name,))
    return spec.model_copy(update={"tools": tuple(names)})


def _give(specs: dict[str, AgentSpec], tool: str, setting: str, agents: Iterable[str]) -> None:
    """Offer ``tool`` to the agents that ``setting`` names. Raises :class:`ConfigurationError`."""
    for name in agents:
        if name not in specs or specs[name].role != "stage":
            raise ConfigurationError(f"{setting} names {name!r}, which is no agent that calls tools")
        spec = specs[name]
        specs[name] = spec.model_copy(update={"tools": tuple(dict.fromkeys((*spec.tools, tool)))})


def _ladder(settings: Settings, spec: AgentSpec) -> tuple[str, ...]:
    chosen = settings.agent_models.get(spec.name)
    ladder = (chosen,) if chosen else spec.models or (_default_model(settings, spec.name),)
    for model in ladder:
        adapter, _, name = model.partition(":")
        if adapter not in ADAPTERS or not name:
            raise ConfigurationError(
                f"agent {spec.name!r}: model {model!r} is not of the form adapter:name with one of {', '.join(ADAPTERS)}"
            )
    return ladder


def _default_model(settings: Settings, agent: str) -> str:
    kind = settings.chosen_model()
    if kind == "anthropic":
        return f"anthropic:{settings.anthropic_model}"
    if kind == "scripted":
        return f"scripted:{settings.script.name if settings.script else 'built-in'}"
    if kind == "local" and (settings.gguf is not None or agent in AGENTS_FOR_DEFAULT_WEIGHTS):
        return f"local:{gguf_of(settings).stem}"
    return "offline:extractive"
