"""What counts as secret without being named, what is named, and what is said of a name that leads to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.config import load, to_json
from runtime.errors import ConfigurationError
from runtime.secret_values import redactor_of, secret_values

RANDOM = "f3b9a1c47d2e8860"


def found(environ: dict[str, str] | None = None, **given: Any) -> frozenset[str]:
    return secret_values(load(**given), environ or {})


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ({"anthropic_api_key": "sk-short-key"}, {"sk-short-key"}),
        ({"log": "postgresql://me:pass%20word@db/runs"}, {"pass%20word", "pass word"}),
        ({"log": "postgresql://db/runs?user=me&password=long-enough"}, {"long-enough"}),
        ({"anthropic_base_url": "http://me:long-enough@proxy:4000"}, {"long-enough"}),
        ({"mcp_servers": {"a": {"command": "x", "env": {"CRM_KEY": "plain-words"}}}}, {"plain-words"}),
        ({"mcp_servers": {"a": {"command": "x", "env": {"MODE": "production"}}}}, set()),
        ({"mcp_servers": {"a": {"command": "x", "env": {"MODE": RANDOM}}}}, {RANDOM}),
        ({"mcp_servers": {"a": {"command": "x", "env": {"HOME": "/home/user1/and/more"}}}}, set()),
        ({"mcp_servers": {"a": {"command": "x", "env": {"DEBUG_KEY": "short"}}}}, set()),
        ({"mcp_servers": {"a": {"url": "http://x", "headers": {"Authorization": "Bearer abcdefgh"}}}}, {"abcdefgh"}),
        ({"mcp_servers": {"a": {"url": "http://x", "headers": {"Accept": "application/json"}}}}, set()),
        ({"mcp_servers": {"a": {"url": "http://x/mcp?api_key=abcdefgh&page=whatever"}}}, {"abcdefgh"}),
        ({}, set()),
    ],
)
def test_what_the_settings_hold_is_found_by_itself(given: dict[str, Any], values: set[str]) -> None:
    assert found(**given) == values


def test_what_is_named_is_read_from_the_environment_and_from_files(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text("first-line\n\n  second-line  \nshort\n")
    names = ("CRM", str(path))
    assert found({"CRM": "four", "OTHER": "long-enough"}, secrets=names) == {"four", "first-line", "second-line"}
    assert found({"PGPASSWORD": "long-enough"}) == {"long-enough"}


@pytest.mark.parametrize(
    ("environ", "name", "words"),
    [
        ({}, "CRM", "secrets: the environment variable CRM is not set, or empty"),
        ({"CRM": "  "}, "CRM", "not set, or empty"),
        ({"CRM": "one"}, "CRM", "has fewer than 4 characters"),
        ({}, "/no/such/file", "secrets: the file /no/such/file cannot be read: No such file"),
    ],
)
def test_a_name_that_leads_to_nothing_is_told(environ: dict[str, str], name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        found(environ, secrets=(name,))


def test_values_do_not_travel_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM", "open-sesame")
    settings = load(secrets=("CRM",))
    assert "open-sesame" not in to_json(settings) and "CRM" in to_json(settings)
    assert redactor_of(settings).text("open-sesame") == "[redacted]"
