"""The table in README.md is true: its tests exist, and every row of the corpus stands in it."""

import ast
import re
from pathlib import Path

from tests.hostile.corpus import corpus

TESTS = Path(__file__).parents[1]
TABLE = (Path(__file__).parent / "README.md").read_text("utf-8")


def test_tests_that_are_named_are_there() -> None:
    named = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)(?:::(\w+))?`", TABLE.replace("`tests/", "`"))
    assert len(named) > 30
    for path, name in named:
        assert (TESTS / path).exists(), path
        if name:
            tree = ast.parse((TESTS / path).read_text("utf-8"))
            assert name in {getattr(node, "name", "") for node in tree.body}, f"{path}::{name}"


def test_every_row_of_the_corpus_is_named() -> None:
    assert not {case.row for case in corpus() if f'"{case.row}"' not in TABLE}
