"""Agents that ask people; a module for ``settings.modules``."""

from __future__ import annotations

from runtime.agents.spec import AgentSpec
from tests.end_to_end.people_agents import send as send

clerk = AgentSpec(name="clerk", description="Sends.", instructions="Send.", tools=("send",))
asker = AgentSpec(name="asker", description="Asks.", instructions="Ask.", tools=("ask_person",))
