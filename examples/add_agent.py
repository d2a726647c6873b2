"""An agent of one's own with one tool: `headrace serve --module examples.add_agent`."""

from datetime import date, timedelta

from runtime.agents.spec import AgentSpec
from runtime.tools.tool import tool


@tool
def working_days(start: date, end: date) -> int:
    """Count the days from Monday to Friday between two dates, both included."""
    days = (end - start).days + 1
    return sum((start + timedelta(n)).weekday() < 5 for n in range(days))


CALENDAR = AgentSpec(
    name="calendar",
    description="Counts working days between two dates.",
    instructions="Find the two dates in the task, call working_days, and state the count in one sentence.",
    tools=("working_days",),
)
