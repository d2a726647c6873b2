"""Settings: one pydantic model, read once, in ``bootstrap`` or the command line, and passed down.

Every field can be set by the environment as ``HEADRACE_<NAME>`` and by ``headrace serve``'s options.
"""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from runtime.errors import ConfigurationError
from runtime.tenancy import TenantId, TenantLimits, TokenRules

_PASSWORD = re.compile(r"(\A[a-z]+://[^/@:]*:)[^@]*(?=@)|(\bpassword=)[^&\s]+")
"""In the URL of a store."""

ModelKind = Literal["offline", "local", "anthropic", "scripted"]
Auth = Literal["none", "keys", "jwt", "keys+jwt"]

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?\Z")
"""As browsers send it: no path, no trailing slash."""

HostPattern = Annotated[
    str, Field(pattern=r"^(\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:]*:[0-9a-f:.]*)$", max_length=253)
]
"""A host in ASCII and lower case; ``*.`` before it: what stands below it; ``*``: any."""

Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ModelPrice(BaseModel):
    """What a model costs in US dollars per million tokens of each kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Usd
    output: Usd
    cache_read: Usd | None = None
    """Of input taken from the provider's cache; None: what other input costs."""
    cache_write: Usd | None = None
    """Of input put into it; None: a quarter more than other input, as Anthropic asks for."""


class McpServer(BaseModel):
    """An MCP server whose tools agents may use: a program to start, or an address to ask."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str | None = None
    """The program; it speaks on its standard input and output."""
    args: tuple[str, ...] = ()
    env: Annotated[dict[str, str], Field(repr=False)] = {}
    """For the program, beside the few variables every program gets (``PATH``, ``HOME``)."""
    url: str | None = None
    """Of a server that speaks streamable HTTP."""
    headers: Annotated[dict[str, str], Field(repr=False)] = {}
    agents: tuple[str, ...] = ()
    """Agents offered all its tools; others name them in ``AgentSpec.tools``."""
    kinds: dict[str, Literal["read", "idempotent", "at_most_once"]] = {}
    """Tool -> what repeating a call of it does, over what the server says."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Of one call."""
    start_within_s: Annotated[float, Field(gt=0, le=120)] = 15.0
    """How long it may take until the server answers."""

    @model_validator(mode="after")
    def _one_way(self) -> McpServer:
        if (self.command is None) == (self.url is None):
            raise ValueError("give either a command or a url")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url {self.url!r} must begin with http:// or https://")
        return self


McpServerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$", max_length=24)]
"""Stands before its tools' names, with two underscores between."""


class Settings(BaseSettings):
    """Everything that can be chosen. Validated at start; see :func:`load` for errors a person can act on."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    """Address the HTTP door binds."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    model: ModelKind | None = None
    """Which model agents use; None means ``anthropic`` when a key is set, else ``offline``."""
    agent_models: dict[str, str] = {}
    """Agent -> ``adapter:name``, over ``model``: ``{"planner": "anthropic:claude-sonnet-5"}``."""
    anthropic_api_key: Annotated[str, Field(validation_alias="ANTHROPIC_API_KEY", repr=False)] = ""
    anthropic_base_url: Annotated[str, Field(validation_alias="ANTHROPIC_BASE_URL")] = ""
    """Any server that speaks the Messages API; empty means Anthropic's own."""
    anthropic_model: str = "claude-sonnet-5"
    """The model's name at that server."""
    script: Path | None = None
    """For ``scripted``: the script file; None plays the built-in one."""
    gguf: Path | None = None
    """For ``local``: the weights; None means SmolLM2-135M-Instruct, fetched with ``headrace models fetch smollm2``."""
    data_dir: Path = Path(".headrace")
    """Where the log, indexes and weights are kept."""
    log: str = ""
    """Store of the runs: ``sqlite:PATH``, ``postgresql://HOST/DATABASE`` or ``memory:``; empty means ``sqlite:DATA_DIR/log.db``."""
    documents: Path | None = None
    """Folder searched by runs that name none."""
    document_roots: tuple[Path, ...] = ()
    """Folders a request may name (with everything below); ``{tenant}`` in one stands for the tenant's name. In development
    mode on loopback any readable folder may be named."""
    fetch_hosts: dict[str, tuple[HostPattern, ...]] = {}
    """Agent -> hosts it may fetch pages from with ``fetch_page``: ``{"research": ["docs.python.org", "*.wikipedia.org"]}``."""
    mcp_servers: Annotated[dict[McpServerName, McpServer], Field(repr=False)] = {}
    """MCP servers by name: ``{"time": {"command": "mcp-server-time", "agents": ["research"]}}``."""
    modules: tuple[str, ...] = ()
    """Import paths of modules with users' agents, tools, hooks and chain functions."""
    secrets: tuple[str, ...] = ()
    """Environment variables, and paths of files, whose values are secret: taken out of all that is written."""
    viewer_roles: tuple[str, ...] = ()
    """Roles of whoever reads where nobody says who they are: a tool with ``visible=["support"]`` shows its calls to that role."""
    hooks: tuple[str, ...] = ()
    """Import paths ``module:function`` of post-hooks, run after the built-in ones, in this order."""
    executors: Annotated[int, Field(ge=1, le=64)] = 2
    agents_per_kind: Annotated[int, Field(ge=1, le=64)] = 1
    max_parallel: Annotated[int, Field(ge=1, le=16)] = 4
    """Stages of one run at a time."""
    flush_interval_s: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Least time between two flushes of a busy publisher (RAY.md 10: why batching needs it)."""
    tenant_daily_budget_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """US dollars all runs of a tenant created on one day (UTC) may spend on models together; None: no such limit."""
    prices: dict[str, ModelPrice] = {}
    """What models cost, by their names at the provider, over the built-in list; a model in neither costs nothing."""
    lease_ttl_s: Annotated[float, Field(gt=0)] = 10.0
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How long runs under way may end by themselves when the system is told to stop; the rest go on at the next start."""
    heartbeat_s: Annotated[float, Field(gt=0, le=15)] = 10.0
    """Longest silence on an event stream before a comment is sent; DESIGN.md 7 allows 15 s."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    max_readers_per_run: Annotated[int, Field(ge=1)] = 50
    max_streams: Annotated[int, Field(ge=1)] = 2000
    """Open event streams per door."""
    planning_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    guardrail_failure: Literal["stop", "continue"] = "stop"
    """What a guardrail agent that itself fails means for the run."""
    first_content_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    progress_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """Longest time without content from a model before the attempt is given up; pings do not count."""
    auth: Auth = "none"
    """Who is let in: whoever has a key, a token, or either; ``none`` is development mode and binds loopback only."""
    jwt: TokenRules | None = None
    """For ``jwt``: ``{"issuer": "https://...", "audience": "headrace", "keys": "https://.../jwks.json"}``."""
    allowed_hosts: tuple[HostPattern, ...] = ()
    """With authentication: names the server answers to, without ports; empty means any. In development mode loopback names."""
    cors_origins: tuple[str, ...] = ()
    """Web pages from elsewhere that may ask: ``["https://app.example.org"]``."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies in front, whose ``X-Forwarded-For`` is believed when failures are counted."""
    max_failures_per_minute: Annotated[int, Field(ge=1)] = 30
    """Failed authentications from one address before it is told 429."""
    max_streams_per_principal: Annotated[int, Field(ge=1)] = 20
    """Open event streams of one key or user per door."""
    tenant_requests_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 50.0
    """With authentication: requests of one tenant in the long run, at each door."""
    tenant_burst: Annotated[int, Field(ge=1)] = 200
    """With authentication: requests of one tenant at once, at each door."""
    tenant_runs_in_flight: Annotated[int, Field(ge=0)] = 100
    """With authentication: runs of one tenant accepted or running at a time, over all doors."""
    tenants: dict[TenantId, TenantLimits] = {}
    """Tenants with limits of their own: ``{"acme": {"runs_in_flight": 500, "daily_budget_usd": 20}}``."""
    audit_log: Path | None = None
    """File that tells who did what, as lines of JSON; None means ``DATA_DIR/audit.log`` with authentication, else none."""

    @field_validator("data_dir", "documents", "script", "gguf", "audit_log")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @field_validator("cors_origins")
    @classmethod
    def _whole_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.match(origin):
                raise ValueError(f"{origin!r} is no origin; write it as browsers do, such as https://app.example.org")
        return origins

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ipaddress.ip_network(network)  # its ValueError says what is wrong
        return networks

    @field_validator("document_roots")
    @classmethod
    def _resolved(cls, roots: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(root.expanduser().resolve() for root in roots)

    @field_validator("prices")
    @classmethod
    def _provider_names(cls, prices: dict[str, ModelPrice]) -> dict[str, ModelPrice]:
        for name in prices:
            adapter, colon, model = name.partition(":")
            if not name.strip():
                raise ValueError("a model's name is empty; write it as its provider does")
            if colon and adapter in get_args(ModelKind):
                raise ValueError(f"{name!r} begins with an adapter; write the model as its provider does: {model!r}")
        return prices

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.auth == "none" and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} is reachable from outside, and no authentication is configured; "
                "choose --auth keys, or bind 127.0.0.1"
            )
        if "jwt" in self.auth and self.jwt is None:
            raise ValueError("auth by tokens needs to know whose: set HEADRACE_JWT (issuer, audience, keys)")
        for name, path in (("documents", self.documents), ("script", self.script), ("gguf", self.gguf)):
            if path is not None and not path.exists():
                raise ValueError(f"{name} {str(path)!r} does not exist; name an existing path")
        if self.documents is not None and not self.documents.is_dir():
            raise ValueError(f"documents {str(self.documents)!r} is not a folder")
        if self.chosen_model() == "anthropic" and not (self.anthropic_api_key or self.anthropic_base_url):
            raise ValueError("model 'anthropic' needs a key: set ANTHROPIC_API_KEY, or choose --model offline")
        return self

    def chosen_model(self) -> ModelKind:
        """The model agents use unless ``agent_models`` says otherwise."""
        if self.model is not None:
            return self.model
        return "anthropic" if self.anthropic_api_key else "offline"

    def limits_of(self, tenant_id: str) -> TenantLimits:
        """What a tenant may use, with nothing left out that holds for every tenant; in development mode only the budget does."""
        usual: dict[str, float | int | None] = {"daily_budget_usd": self.tenant_daily_budget_usd}
        if self.auth != "none":
            usual["requests_per_s"] = self.tenant_requests_per_s
            usual["burst"] = self.tenant_burst
            usual["runs_in_flight"] = self.tenant_runs_in_flight
        own = self.tenants.get(tenant_id, TenantLimits()).model_dump(exclude_none=True)
        return TenantLimits.model_validate({**usual, **own})

    def audit_path(self) -> Path | None:
        """``audit_log`` with its default filled in."""
        return self.audit_log or (self.data_dir / "audit.log" if self.auth != "none" else None)

    def log_url(self) -> str:
        """``log`` with its default filled in."""
        return self.log or f"sqlite:{self.data_dir / 'log.db'}"

    def log_words(self) -> str:
        """The same for people to read, without its password."""
        return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", self.log_url())


def load(**given: object) -> Settings:
    """Settings from the environment, overridden by ``given`` (None means not given).

    Raises :class:`ConfigurationError` with one line per mistake: the setting, what is wrong, and what to do.
    """
    try:
        return Settings(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigurationError("; ".join(_sentence(dict(e)) for e in error.errors())) from error
    except SettingsError as error:  # a list or table in the environment that is no JSON
        raise ConfigurationError(f"{error}: write it as JSON, such as '[\"one\"]'") from error


def to_json(settings: Settings) -> str:
    """The settings as JSON, for other processes; secrets are left out and travel in the environment."""
    secret = {"anthropic_api_key", "anthropic_base_url"}
    if _PASSWORD.search(settings.log):
        secret.add("log")
    if any(server.env or server.headers for server in settings.mcp_servers.values()):
        secret.add("mcp_servers")
    return settings.model_dump_json(exclude=secret)


def from_json(text: str) -> Settings:
    """The settings in a text of :func:`to_json`, completed with this process's environment."""
    return load(**json.loads(text))


def _sentence(problem: dict[str, object]) -> str:
    where = ".".join(str(part) for part in problem["loc"])  # type: ignore[attr-defined]
    words = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {words}" if where else words


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
