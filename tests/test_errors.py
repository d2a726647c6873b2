"""Errors cross processes whole, and the tree that people read is the tree there is."""

from __future__ import annotations

import importlib
import inspect
import pickle
import re

import pytest

from runtime import errors
from runtime.errors import HeadraceError


def tree(kind: type[HeadraceError]) -> list[type[HeadraceError]]:
    return [
        kind,
        *(one for child in kind.__subclasses__() if child.__module__ == errors.__name__ for one in tree(child)),
    ]


ALL = tree(HeadraceError)
VALUES = {"str": "some words", "float": 1.5, "float | None": 2.5, "int": 7, "bool": True, "object": ("detail", 9)}


def filled(kind: type[HeadraceError]) -> HeadraceError:
    """One with every argument given and none at its default."""
    parameters = list(inspect.signature(kind).parameters.values())
    return kind(*(VALUES[str(p.annotation)] for p in parameters))


def test_the_walk_finds_the_whole_module() -> None:
    in_module = {k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)}
    assert set(ALL) == in_module


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_survives_the_way_to_another_process(kind: type[HeadraceError]) -> None:
    error = filled(kind)
    for given in (error, kind(), kind("only words")):
        back = pickle.loads(pickle.dumps(given))
        assert (type(back), back.args, vars(back)) == (type(given), given.args, vars(given))
    assert pickle.loads(pickle.dumps(error)).message == "some words"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_argument_is_positional_and_kept_as_an_attribute(kind: type[HeadraceError]) -> None:
    error = filled(kind)
    for parameter in inspect.signature(kind).parameters.values():
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL), parameter
        if parameter.kind is not parameter.VAR_POSITIONAL:
            assert getattr(error, parameter.name) == VALUES[str(parameter.annotation)]
            assert VALUES[str(parameter.annotation)] in error.args


def test_every_leaf_has_a_code_of_its_own() -> None:
    leaves = [kind for kind in ALL if not kind.__subclasses__()]
    assert len({kind.code for kind in leaves}) == len(leaves)
    assert all("code" in vars(kind) for kind in ALL)


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn: list[tuple[str, str]] = []
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+)(?:\s|$)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4 + ("── " in line)
        path[depth:] = [match[2]]
        drawn.append((path[depth - 1] if depth else "Exception", match[2]))
    assert drawn == [(kind.__bases__[0].__name__, kind.__name__) for kind in ALL]


def test_the_docstring_marks_exactly_the_retryable_leaves() -> None:
    marked = set(re.findall(r"── (\w+) .*\(retryable\)", errors.__doc__ or ""))
    assert marked == {kind.__name__ for kind in ALL if kind.retryable} - {"ToolCallLimitReached"}
    assert "(retryable)" in (errors.__doc__ or "")


def test_a_cause_is_no_part_of_the_message_but_stays_attached_here() -> None:
    def fails() -> None:
        try:
            raise ValueError("secret detail")
        except ValueError as error:
            raise errors.StoreUnavailable("the log is away") from error

    with pytest.raises(errors.StoreUnavailable) as caught:
        fails()
    assert "secret" not in caught.value.message
    assert isinstance(caught.value.__cause__, ValueError)


def test_what_a_code_means_does_not_depend_on_what_has_been_imported() -> None:
    """The client's errors stand in the same tree, and one of them has the code of a model that declines."""
    assert importlib.import_module("runtime.client.errors").Refused.code == errors.ModelRefused.code
    assert errors.by_code("refused") is errors.ModelRefused
