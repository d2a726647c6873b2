"""What an agent is told: question, task and what earlier stages found, rendered as one user message and read back.

Language models read the tags as structure; the offline model parses them. Both ends live here so that they stay a pair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, unescape


@dataclass(frozen=True, slots=True)
class Finding:
    """What an earlier stage hands on."""

    stage: str
    agent: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Brief:
    """One agent's assignment."""

    question: str
    """What the person asked, verbatim."""
    task: str = ""
    """The todo's title; empty for planning agents."""
    position: str = ""
    """Where in the plan this is: ``step 2 of 3``."""
    findings: tuple[Finding, ...] = field(default=())
    agents: tuple[tuple[str, str], ...] = field(default=())
    """For the planner: the agents a todo may name, each with what it is for."""
    has_documents: bool = False
    """Whether the person named documents to search."""


def render(brief: Brief) -> str:
    """The user message for ``brief``."""
    parts = [f"<question>{escape(brief.question)}</question>"]
    if brief.agents:
        rows = "\n".join(f'<agent name="{_attr(name)}">{escape(text)}</agent>' for name, text in brief.agents)
        parts.append(f"<agents>\n{rows}\n</agents>")
    parts.append(f'<documents available="{"yes" if brief.has_documents else "no"}"/>')
    parts.extend(
        f'<finding stage="{_attr(f.stage)}" agent="{_attr(f.agent)}" title="{_attr(f.title)}">\n{escape(f.text)}\n</finding>'
        for f in brief.findings
    )
    if brief.task:
        position = f' position="{_attr(brief.position)}"' if brief.position else ""
        parts.append(f"<task{position}>{escape(brief.task)}</task>")
    return "\n\n".join(parts)


def parse(text: str) -> Brief:
    """The brief in a message that :func:`render` made; a text without tags is taken as the question itself."""
    question = re.search(r"<question>(.*?)</question>", text, re.DOTALL)
    if question is None:
        return Brief(question=text.strip())
    task = re.search(r'<task(?: position="([^"]*)")?>(.*?)</task>', text, re.DOTALL)
    findings = re.findall(
        r'<finding stage="([^"]*)" agent="([^"]*)" title="([^"]*)">\n(.*?)\n</finding>', text, re.DOTALL
    )
    agents = re.findall(r'<agent name="([^"]*)">(.*?)</agent>', text, re.DOTALL)
    return Brief(
        question=unescape(question[1]),
        task=unescape(task[2]) if task else "",
        position=_unattr(task[1] or "") if task else "",
        findings=tuple(Finding(_unattr(s), _unattr(a), _unattr(t), unescape(body)) for s, a, t, body in findings),
        agents=tuple((_unattr(name), unescape(words)) for name, words in agents),
        has_documents='<documents available="yes"/>' in text,
    )


def _attr(text: str) -> str:
    return escape(text, {'"': "&quot;"})


def _unattr(text: str) -> str:
    return unescape(text, {"&quot;": '"'})
