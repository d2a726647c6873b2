"""What people are told of a call comes from the registry, for calls and results alike."""

from __future__ import annotations

import pytest

from runtime.errors import ConfigurationError
from runtime.events import catalog as ev
from runtime.tools.tool import tool
from tests.agents.bench import Bench, Lines, call, says


@tool(title="Weather station", icon="🌦")
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


async def test_calls_and_results_carry_title_and_icon(bench: Bench) -> None:
    model = Lines(says(call("c1", "weather", city="Rome"), call("c2", "nothing"), stop="tool_use"), says("Sunny."))
    await bench.work(model, tools=(weather,))
    [called] = await bench.events(ev.ToolCalled)
    assert (called.title, called.icon, called.description) == ("Weather station", "🌦", "The weather in a city.")
    completed = {event.name: event for event in await bench.events(ev.ToolCompleted)}
    assert (completed["weather"].title, completed["weather"].icon) == ("Weather station", "🌦")
    assert (completed["nothing"].title, completed["nothing"].icon) == ("", "")


def test_roles_are_a_list() -> None:
    with pytest.raises(ConfigurationError, match=r"write a list of roles, such as \['admin'\]"):
        tool(visible="admin")
