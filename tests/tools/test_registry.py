"""Finding what users register, and keeping it by name."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from runtime.agents.spec import AgentSpec
from runtime.errors import ConfigurationError
from runtime.modules import collect, load_modules
from runtime.tools.registry import Registry
from runtime.tools.tool import Tool, tool


@tool
def one() -> str:
    """One."""
    return "1"


@tool
def two() -> str:
    """Two."""
    return "2"


def module(name: str, **values: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(values)
    return made


def test_registry_gives_tools_by_name_and_in_order() -> None:
    registry = Registry([one, two])
    assert registry.get("one") is one
    assert registry.get("three") is None
    assert registry.all() == (one, two)
    assert registry.find(("two", "one")) == (two, one)


def test_registry_names_the_tools_that_do_not_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"'three'.*there are: one, two"):
        Registry([one, two]).find(["one", "three"])


def test_registry_refuses_two_tools_of_one_name() -> None:
    Registry([one, one])
    with pytest.raises(ConfigurationError, match="two tools are called 'one'"):
        Registry([one, tool(name="one")(two.function)])


def test_collect_finds_each_object_once_in_the_order_written() -> None:
    modules = [module("a", y=two, x=one, other=3), module("b", imported=one)]
    assert collect(modules, Tool) == [two, one]


def test_collect_finds_any_kind() -> None:
    spec = AgentSpec(name="a", description="d", instructions="i")
    assert collect([module("a", spec=spec, one=one)], AgentSpec) == [spec]


def test_collect_refuses_two_things_of_one_name_and_says_where() -> None:
    other = tool(name="one")(two.function)
    with pytest.raises(ConfigurationError, match=r"'one': in a and in b"):
        collect([module("a", one=one), module("b", one=other)], Tool)


def test_modules_are_imported_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "headrace_probe_tools.py").write_text(
        "from runtime.tools.tool import tool\n@tool\ndef hello() -> str:\n    '''Hi.'''\n    return 'hi'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = collect(load_modules(["headrace_probe_tools"]), Tool)
    monkeypatch.delitem(sys.modules, "headrace_probe_tools")
    assert [t.name for t in found] == ["hello"]


@pytest.mark.parametrize(
    ("source", "cause"),
    [("import nothing_of_the_kind", "nothing_of_the_kind"), ("1 /", "SyntaxError"), ("exit(3)", "SystemExit")],
)
def test_module_that_fails_is_named_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, cause: str
) -> None:
    (tmp_path / "headrace_probe_broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=f"'headrace_probe_broken' cannot be imported: .*{cause}"):
        load_modules(["headrace_probe_broken"])


@pytest.mark.parametrize("path", ["", "tools.py/", "./tools", ".tools", "a b", "a..b"])
def test_what_is_no_import_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="no import path"):
        load_modules([path])
