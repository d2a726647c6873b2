"""The README's example is the file, and the file does what the README says."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.bootstrap.system import in_process_server
from runtime.client import HeadraceClient, RunEvent, UnknownData
from runtime.config import Settings
from runtime.events import catalog as ev

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
EXAMPLE = ROOT / "examples" / "add_agent.py"
SCRIPT = ROOT / "examples" / "add_agent.toml"


def test_example_in_the_readme_is_the_file() -> None:
    section = README.split("## Add an agent and a tool", 1)[1]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block is not None
    assert block[1] == EXAMPLE.read_text("utf-8")
    assert len(block[1].splitlines()) < 30


async def test_example_runs_and_its_tool_is_really_called(tmp_path: Path) -> None:
    settings = Settings(
        model="scripted", script=SCRIPT, modules=("examples.add_agent",), data_dir=tmp_path, log="memory:"
    )
    events = await _run(settings, "How many working days are there in March 2026?")
    called = [event for event in events if isinstance(event, ev.ToolCalled)]
    answered = [event for event in events if isinstance(event, ev.ToolCompleted)]
    assert [(call.name, call.arguments) for call in called] == [
        ("working_days", {"start": "2026-03-01", "end": "2026-03-31"})
    ]
    assert [(answer.result, answer.is_error) for answer in answered] == [("22", False)]
    end = events[-1]
    assert isinstance(end, ev.RunCompleted)
    assert end.stopped is None
    assert [output.agent for output in end.outputs] == ["calendar", "writing"]


def test_every_setting_is_in_the_configuration_table() -> None:
    section = README.split("## Configuration", 1)[1].split("\n## ", 1)[0]
    in_table = re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)
    names = [str(field.validation_alias or f"HEADRACE_{name.upper()}") for name, field in Settings.model_fields.items()]
    assert sorted(in_table) == sorted(names)


async def _run(settings: Settings, question: str) -> list[ev.Event]:
    async with in_process_server(settings) as url, HeadraceClient(url) as client:
        events: list[RunEvent] = [event async for event in client.stream(question)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [event.data for event in events if not isinstance(event.data, UnknownData)]
