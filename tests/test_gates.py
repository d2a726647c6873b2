"""What must not be in the product's code, whoever asks for it: ways for data to become code (JOURNAL.md P17)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = (*sorted((ROOT / "runtime").rglob("*.py")), *sorted((ROOT / "actors").rglob("*.py")), ROOT / "serve_app.py")

MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle", "code", "codeop"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    ("yaml", "load"), ("yaml", "load_all"), ("yaml", "unsafe_load"), ("yaml", "full_load"), ("builtins", "eval"),
    ("builtins", "exec"), ("os", "system"), ("os", "popen"), ("torch", "load"), ("joblib", "load"),
    ("numpy", "load"), ("np", "load"), ("pandas", "read_pickle"), ("pd", "read_pickle"),
}  # fmt: skip

ALLOWED: frozenset[tuple[str, str]] = frozenset()
"""(file, name). Empty, and meant to stay so."""


def ways(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each way for data to become code."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, n.name) for n in names if n.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                if module.partition(".")[0] in MODULES:
                    yield node.lineno, module
                ways_in = ((module, n.name) in METHODS or n.name in MODULES - {"code"} for n in names)
                yield from ((node.lineno, f"{module}.{n.name}") for n, way in zip(names, ways_in, strict=True) if way)
            case ast.Call(func=ast.Name(id=name)) if name in BUILTINS:
                yield node.lineno, name
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if (module, name) in METHODS:
                yield node.lineno, f"{module}.{name}"
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ) if module.partition(".")[0] in MODULES:
                yield node.lineno, module
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                yield node.value.lineno, "shell=True"


def test_no_code_of_ours_turns_data_into_code() -> None:
    assert len(PRODUCT) > 100, "the product was found"
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in PRODUCT
        for line, name in ways(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        if (str(path.relative_to(ROOT)), name) not in ALLOWED
    ]
    assert not found, "\n".join(found)


def test_nothing_is_allowed_by_way_of_exception() -> None:
    assert not ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import os, cloudpickle",
        "from ray import cloudpickle",
        "import marshal",
        "import shelve",
        "import dill",
        "def f():\n    import pickle",
        "eval('1')",
        "exec(text)",
        "compile(text, '', 'exec')",
        "__import__(name)",
        "import yaml\nyaml.load(text)",
        "from yaml import load",
        "importlib.import_module('pickle')",
        "import os\nos.system(text)",
        "subprocess.run(text, shell=True)",
        "import builtins\nbuiltins.eval(text)",
    ],
)
def test_the_gate_sees_each_way(source: str) -> None:
    assert list(ways(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    ["re.compile(text)", "ast.literal_eval(text)", "db.execute(sql)", "model.load(path)", "yaml.safe_load(text)"],
)
def test_the_gate_lets_pass_what_is_harmless(source: str) -> None:
    assert not list(ways(ast.parse(source)))
