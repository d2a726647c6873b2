"""The test file of docs/testing.md is one that passes, and the page names what there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from runtime import testing

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text("utf-8")


def shown() -> dict[str, Any]:
    """The names that the page's first block, a whole file, defines."""
    block = re.search(r"```python\n(from .*?)```", PAGE, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {"__name__": "docs_testing"}
    exec(block[1], names)
    return names


TESTS = {name: test for name, test in shown().items() if name.startswith("test_")}


@pytest.mark.parametrize("name", TESTS)
async def test_test_on_the_page_passes(name: str, tmp_path: Path) -> None:
    test = TESTS[name]
    await (test(tmp_path) if inspect.signature(test).parameters else test())


def test_every_name_of_the_room_is_on_the_page() -> None:
    assert len(TESTS) == 3
    names = [name for name, value in vars(testing).items() if not name.startswith("_") and callable(value)]
    assert len(names) > 8
    assert [name for name in names if f"{name}(" not in PAGE] == []
