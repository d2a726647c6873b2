"""A wrong setting is answered with one clear sentence, before anything starts; secrets stay where they are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runtime.config import Settings, from_json, load, to_json
from runtime.errors import ConfigurationError
from runtime.tenancy import TenantLimits


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("HEADRACE_", "ANTHROPIC_")):
            monkeypatch.delenv(name)


def refusal(**given: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(**given)
    return caught.value.message


def test_without_any_setting_it_is_local_and_offline() -> None:
    settings = load()
    assert (settings.host, settings.chosen_model()) == ("127.0.0.1", "offline")
    assert settings.data_dir.is_absolute()
    assert settings.log_url() == f"sqlite:{settings.data_dir / 'log.db'}"


def test_the_environment_sets_every_field_and_given_values_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "9001")
    monkeypatch.setenv("HEADRACE_MODULES", '["a.b"]')
    monkeypatch.setenv("HEADRACE_MAX_PARALLEL", "2")
    settings = load(port=9002, max_parallel=None)
    assert (settings.port, settings.modules, settings.max_parallel) == (9002, ("a.b",), 2)


def test_a_key_chooses_anthropic_and_an_explicit_model_wins_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-x")
    assert load().chosen_model() == "anthropic"
    assert load(model="offline").chosen_model() == "offline"


def test_a_base_url_is_enough_for_a_server_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:11434")
    assert load(model="anthropic").chosen_model() == "anthropic"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_authentication(host: str) -> None:
    assert load(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "example.org", "", "localhost.example.org", "127.1"])
def test_an_address_others_can_reach_is_refused_without_authentication(host: str) -> None:
    message = refusal(host=host)
    assert "reachable from outside" in message
    assert "127.0.0.1" in message, "says what to do"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"port": 0}, "port: Input should be greater than or equal to 1"),
        ({"port": "http"}, "port: Input should be a valid integer"),
        ({"model": "gpt"}, "model: Input should be 'offline', 'local', 'anthropic' or 'scripted'"),
        ({"max_parallel": 99}, "max_parallel: Input should be less than or equal to 16"),
        ({"heartbeat_s": 16}, "heartbeat_s: Input should be less than or equal to 15"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"auth": "magic"}, "auth: Input should be 'none'"),
        ({"guardrail_failure": "shrug"}, "guardrail_failure: Input should be 'stop' or 'continue'"),
        ({"fetch_hosts": {"research": ["https://example.org"]}}, "fetch_hosts.research.0: String should match"),
        ({"mcp_servers": {"time": {}}}, "mcp_servers.time: give either a command or a url"),
        ({"mcp_servers": {"t": {"command": "a", "url": "http://b"}}}, "give either a command or a url"),
        ({"mcp_servers": {"t": {"url": "ftp://b"}}}, "must begin with http:// or https://"),
        ({"mcp_servers": {"a__b": {"command": "a"}}}, "mcp_servers.a__b.[key]: String should match"),
        ({"mcp_servers": {"t": {"command": "a", "kinds": {"x": "often"}}}}, "mcp_servers.t.kinds.x: Input should be"),
        ({"model": "anthropic"}, "set ANTHROPIC_API_KEY, or choose --model offline"),
        ({"documents": Path("/no/such/folder")}, "documents '/no/such/folder' does not exist"),
        ({"script": Path("/no/such.toml")}, "script '/no/such.toml' does not exist"),
        ({"gguf": Path("/no/such.gguf")}, "gguf '/no/such.gguf' does not exist"),
        ({"documents": Path(__file__)}, "is not a folder"),
        ({"prices": {"m": {"input": 1}}}, "prices.m.output: Field required"),
        ({"prices": {"m": {"input": -1, "output": 1}}}, "prices.m.input: Input should be greater than or equal to 0"),
        ({"prices": {"m": {"input": float("nan"), "output": 1}}}, "prices.m.input: Input should be"),
        ({"prices": {"m": {"input": 1, "output": float("inf")}}}, "prices.m.output: Input should be a finite number"),
        ({"prices": {"m": {"input": "dear", "output": 1}}}, "prices.m.input: Input should be a valid number"),
        ({"prices": {"m": {"input": 1, "output": 1, "cached": 1}}}, "prices.m.cached: Extra inputs are not permitted"),
        ({"prices": {"m": 3}}, "prices.m: Input should be a valid dictionary or instance of ModelPrice"),
        ({"prices": {" ": {"input": 1, "output": 1}}}, "prices: a model's name is empty"),
        ({"prices": {"anthropic:m": {"input": 1, "output": 1}}}, "write the model as its provider does: 'm'"),
    ],
)
def test_each_mistake_is_one_sentence_that_names_the_setting(given: dict[str, Any], words: str) -> None:
    message = refusal(**given)
    assert words in message
    assert "\n" not in message
    assert "Value error" not in message
    assert "pydantic" not in message


def test_several_mistakes_are_told_at_once() -> None:
    message = refusal(port=0, model="gpt")
    assert "port:" in message
    assert "model:" in message
    assert message.count("; ") == 1


def test_a_mistyped_variable_of_the_environment_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "eighty")
    assert refusal().startswith("port: ")


def test_an_environment_value_that_is_no_json_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_MODULES", "my.module")
    message = refusal()
    assert '"modules"' in message
    assert "write it as JSON" in message


def test_prices_are_read_from_the_environment_and_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"qwen3:8b": {"input": 0.5, "output": 2, "cache_read": 0.05}, "free": {"input": 0, "output": 0}}
    monkeypatch.setenv("HEADRACE_PRICES", json.dumps(table))
    settings = load()
    assert settings.prices["qwen3:8b"].cache_read == 0.05
    assert settings.prices["qwen3:8b"].cache_write is None
    monkeypatch.delenv("HEADRACE_PRICES")
    assert from_json(to_json(settings)) == settings


def test_prices_that_are_no_json_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PRICES", "cheap")
    assert '"prices"' in refusal()


def test_settings_cannot_be_changed_after_they_are_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1  # type: ignore[misc]


def test_secrets_are_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://user:pass-canary@127.0.0.1")
    settings = load()
    assert settings.anthropic_api_key == "sk-canary"
    for text in (repr(settings), str(settings)):
        assert "sk-canary" not in text
    assert "canary" not in to_json(settings)


def test_a_refusal_never_repeats_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary")
    assert "sk-canary" not in refusal(port=0)


def test_every_setting_travels_to_other_processes_and_secrets_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary")
    settings = load(port=9001, data_dir=tmp_path, documents=tmp_path, modules=("a", "b"), agent_models={"x": "y:z"})
    assert from_json(to_json(settings)) == settings
    carried = set(json.loads(to_json(settings)))
    assert carried == set(Settings.model_fields) - {"anthropic_api_key", "anthropic_base_url"}


def test_secrets_of_mcp_servers_are_not_shown_and_travel_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "a": {"command": "x", "env": {"KEY": "sk-canary"}},
        "b": {"url": "http://b", "headers": {"X": "sk-canary"}},
    }
    monkeypatch.setenv("HEADRACE_MCP_SERVERS", json.dumps(table))
    settings = load()
    assert settings.mcp_servers["a"].env == {"KEY": "sk-canary"}
    for text in (repr(settings), str(settings), to_json(settings), repr(settings.mcp_servers["b"])):
        assert "sk-canary" not in text
    assert from_json(to_json(settings)) == settings


def test_paths_mean_the_same_in_a_process_with_another_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    settings = load(data_dir=Path("data"), documents=Path("docs"), document_roots=(Path("docs"),))
    monkeypatch.chdir("/")
    assert from_json(to_json(settings)) == settings
    assert settings.documents == tmp_path / "docs"
    assert settings.data_dir == tmp_path / "data"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:p%40ss@db/runs", "postgresql://me:***@db/runs"),
        (
            "postgresql://me@db/runs?password=secret&sslmode=require",
            "postgresql://me@db/runs?password=***&sslmode=require",
        ),
        ("postgresql://db/runs", "postgresql://db/runs"),
        ("sqlite:/data/log.db", "sqlite:/data/log.db"),
    ],
)
def test_password_of_the_store_is_neither_shown_nor_written_down(url: str, words: str) -> None:
    settings = Settings(log=url)
    assert settings.log_words() == words
    assert ("***" in words) != (url in to_json(settings))


# --- authentication --------------------------------------------------------------------------------------------------

JWT = '{"issuer": "https://i.example", "audience": "headrace", "keys": "https://i.example/jwks.json"}'


def test_an_address_others_can_reach_is_fine_with_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(host="0.0.0.0", auth="keys").host == "0.0.0.0"
    assert "HEADRACE_JWT" in refusal(auth="jwt")
    assert "HEADRACE_JWT" in refusal(auth="keys+jwt")
    monkeypatch.setenv("HEADRACE_JWT", JWT)
    settings = load(host="0.0.0.0", auth="keys+jwt")
    assert settings.jwt is not None
    assert (settings.jwt.algorithms, settings.jwt.leeway_s) == (("RS256", "PS256", "ES256", "EdDSA"), 60.0)


def test_authentication_cannot_be_misspelt_away() -> None:
    assert "auth" in refusal(auth="key", host="0.0.0.0")
    assert "auth" in refusal(auth="")


def test_limits_of_a_tenant_are_its_own_and_else_everybodys(tmp_path: Path) -> None:
    given = {"data_dir": tmp_path, "tenants": {"acme": {"runs_in_flight": 7, "daily_budget_usd": 2}}}
    settings = load(auth="keys", tenant_daily_budget_usd=1.0, tenant_requests_per_s=5, tenant_burst=9, **given)
    assert settings.limits_of("acme") == TenantLimits(requests_per_s=5, burst=9, runs_in_flight=7, daily_budget_usd=2)
    assert settings.limits_of("other") == TenantLimits(
        requests_per_s=5, burst=9, runs_in_flight=100, daily_budget_usd=1
    )
    assert load(tenant_daily_budget_usd=1.0, **given).limits_of("other") == TenantLimits(daily_budget_usd=1)
    assert load(**given).limits_of("acme").runs_in_flight == 7


def test_audit_log_is_kept_where_somebody_must_say_who_they_are(tmp_path: Path) -> None:
    assert load(data_dir=tmp_path).audit_path() is None
    assert load(data_dir=tmp_path, auth="keys").audit_path() == tmp_path / "audit.log"
    assert load(data_dir=tmp_path, audit_log=tmp_path / "a").audit_path() == tmp_path / "a"


def test_settings_of_authentication_reach_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_JWT", JWT)
    settings = load(auth="jwt", tenants={"acme": {"burst": 3}}, cors_origins=("https://a.example",))
    monkeypatch.delenv("HEADRACE_JWT")
    assert from_json(to_json(settings)) == settings


@pytest.mark.parametrize(
    "given",
    [{"trusted_proxies": ("10.0.0.0/33",)}, {"tenants": {"a/b": {}}}, {"tenants": {"a": {"burst": 0}}}],
    ids=str,
)
def test_mistakes_in_settings_of_tenants_are_told(given: dict[str, Any]) -> None:
    assert next(iter(given)) in refusal(**given)
