"""The examples of docs/tools.md are what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from runtime.config import Settings
from runtime.stream.view import ViewFunction
from runtime.tools.tool import Tool

PAGE = (Path(__file__).parents[2] / "docs" / "tools.md").read_text("utf-8")


def whole_examples() -> list[dict[str, Any]]:
    """The names each example defines that imports what it uses."""
    made = []
    for block in re.findall(r"```python\n(from .*?)```", PAGE, re.DOTALL):
        names: dict[str, Any] = {"__name__": "docs_tools"}
        exec(block, names)
        made.append(names)
    return made


def test_examples_that_are_whole_make_what_they_show() -> None:
    tool, rule = whole_examples()
    assert isinstance(tool["convert"], Tool)
    assert (tool["convert"].icon, tool["convert"].context_parameter) == ("💱", "context")
    assert isinstance(rule["mask_amounts"], ViewFunction)


def test_settings_shown_are_settings() -> None:
    shown = dict(re.findall(r"export HEADRACE_(\w+)='(.*?)'", PAGE, re.DOTALL))
    settings = Settings(**{name.lower(): json.loads(value) for name, value in shown.items()})
    assert settings.fetch_hosts["research"] == ("docs.python.org", "*.wikipedia.org")
    assert settings.mcp_servers["crm"].kinds == {"find_customer": "read"}
