"""The documentation is examined: its links, its commands, and the pages that are generated."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from runtime.cli.app import app
from runtime.generator.protocols.ai_sdk.cards import OWN
from runtime.generator.protocols.ai_sdk.requests import ChatRequest
from runtime.llm.script import parse_script

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors GitHub gives to a page's headings."""
    headings = HEADING.findall(FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_inside_the_repository_resolve(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{names(page)} links to {target}, which does not exist"
        assert not anchor or anchor in anchors(linked), f"{names(page)} links to {target}: no such heading"


def shown(page: Path, program: str) -> Iterator[tuple[str, bool]]:
    """The commands of a page, and whether each is shown whole (a line of its own) or named in a sentence."""
    text = page.read_text("utf-8")
    in_code = [line for block in FENCE.findall(text) for line in block.splitlines()]
    prose = FENCE.sub("", text)
    in_code += [line for line in prose.splitlines() if line.startswith("    ")]
    for line in in_code:
        command = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
        if command.startswith(f"{program} "):
            yield command, True
    for command in re.findall(rf"`({program} [^`]+)`", prose):
        yield command, False


COMMANDS = sorted({found for page in PAGES for found in shown(page, "headrace")})


@pytest.mark.parametrize(("command", "whole"), COMMANDS)
def test_commands_shown_exist_with_those_options(command: str, whole: bool) -> None:
    parse(shlex.split(command, comments=True)[1:], whole)


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    for wrong in (["serve", "--speed", "9"], ["frobnicate"], ["ask"], ["serve", "--model", "gpt"]):
        with pytest.raises(AssertionError):
            parse(wrong, True)


def parse(arguments: list[str], whole: bool) -> None:
    """Let the command line take the arguments apart, without doing anything."""
    command: Any = get_command(app)  # Any: groups have commands, and typer's classes for them are its own
    while arguments and arguments[0] in getattr(command, "commands", {}):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    if arguments == ["--help"]:
        return
    if not arguments and getattr(command, "invoke_without_command", False):
        return
    assert not hasattr(command, "commands"), f"there is no command {arguments[:1]}"
    try:
        command.make_context("headrace", list(arguments))
    except Exception as error:  # click's own or the copy inside typer: told apart by name
        if whole or type(error).__name__ != "MissingParameter":
            raise AssertionError(f"{arguments}: {type(error).__name__}: {error}") from error


def test_make_targets_shown_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        for command, _ in shown(page, "make"):
            assert command.split()[1] in targets, f"{names(page)} shows {command!r}, which the Makefile does not have"


def test_events_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_events", ROOT / "docs" / "make_events.py")
    assert spec is not None
    assert spec.loader is not None
    make_events = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_events)
    written = (ROOT / "docs" / "events.md").read_text("utf-8")
    assert written == make_events.page(), "run `python docs/make_events.py`"


def test_tests_that_show_a_promise_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "semantics.md").read_text("utf-8"))
    assert len(named) > 50
    for path, test in named:
        assert (ROOT / path).exists(), f"docs/semantics.md names {path}, which does not exist"
        assert f"def {test}" in (ROOT / path).read_text("utf-8"), (
            f"docs/semantics.md names {test}, which {path} has not"
        )


def test_script_shown_is_a_script() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "scripts.md").read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        parse_script(block, "docs/scripts.md")


def test_example_scripts_are_scripts() -> None:
    scripts = sorted((ROOT / "examples").glob("*.toml"))
    assert len(scripts) > 1
    for script in scripts:
        parse_script(script.read_text("utf-8"), script.name)


def test_every_decision_record_has_its_parts() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [record.name[:4] for record in records] == [f"{number:04d}" for number in range(1, len(records) + 1)]
    for record in records:
        headings = HEADING.findall(record.read_text("utf-8"))
        assert headings[1:] == ["Context", "Decision", "Consequences"], record.name


def test_the_ai_sdk_page_names_every_data_part_and_every_option() -> None:
    page = (ROOT / "docs" / "ai-sdk.md").read_text("utf-8")
    assert set(re.findall(r"`data-(\w+)`", page)) == OWN
    of_the_transport = {"id", "messages", "trigger", "messageId"}
    table = page.partition("## Options")[2].partition("## What")[0]
    assert set(ChatRequest.model_fields) - of_the_transport <= set(re.findall(r"`(\w+)`", table))
