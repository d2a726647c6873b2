"""The scripts the systems under measurement play.

The planner puts the question itself in the place of the agent's name, so one server can play several loads: asking "writing" runs
the paced turn, "analysis" the long one flat out, "research" the short one flat out.
"""

from __future__ import annotations

from dataclasses import dataclass

SENTENCE = "Water takes the long way down the valley and turns the wheel that nobody has to watch tonight. "
"""Eighteen tokens (a token is a word with the space after it), five characters each in the middle."""
SENTENCE_TOKENS = len(SENTENCE.split())

PACED, LONG, SHORT = "writing", "analysis", "research"
"""The agents, and so the questions, of the three loads."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that streams ``repeat`` sentences at ``rate`` tokens a second; 0 is as fast as possible."""

    agent: str
    repeat: int
    rate: float

    @property
    def tokens(self) -> int:
        return self.repeat * SENTENCE_TOKENS

    @property
    def text(self) -> str:
        return SENTENCE * self.repeat


def turn(agent: str, tokens: int, rate: float) -> Turn:
    """A turn of about ``tokens`` tokens: whole sentences."""
    return Turn(agent, max(1, round(tokens / SENTENCE_TOKENS)), rate)


def script(turns: tuple[Turn, ...], *, planning_delay_s: float = 0.0) -> str:
    """The TOML: planning agents that answer at once, or each after the same delay, and the turns."""
    parts = ["rate = 0", _planning(planning_delay_s)]
    for one in turns:
        parts.append(
            f'[[turn]]\nagent = "{one.agent}"\nrate = {one.rate:g}\ntext = "{SENTENCE}"\nrepeat = {one.repeat}\n'
        )
    return "\n".join(parts)


def _planning(delay_s: float) -> str:
    return f"""
[[turn]]
agent = "planner"
delay_s = {delay_s:g}
output = {{ todos = [{{ id = "answer", title = "Write the answer", agent = "{{question}}", depends_on = [] }}] }}

[[turn]]
agent = "titler"
delay_s = {delay_s:g}
output = {{ title = "A measurement" }}

[[turn]]
agent = "guardrail"
delay_s = {delay_s:g}
output = {{ allowed = true, category = "none", reason = "This is a measurement." }}
"""
