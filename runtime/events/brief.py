"""What an agent is told: question, task, what was said before in the conversation and what earlier stages found, rendered
as one user message and read back.

Language models read the tags as structure; the offline model parses them. Both ends live here so that they stay a pair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, unescape

from runtime.events.history import NOTHING_SAID, Cited, Enclosed, Exchange, History


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
    history: History = NOTHING_SAID
    """What was asked and answered before in the conversation."""


def render(brief: Brief) -> str:
    """The user message for ``brief``."""
    parts = [*_earlier(brief.history), f"<question>{escape(brief.question)}</question>"]
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
    earlier, text = _split(text)
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
        history=_read_earlier(earlier),
    )


_OPENING = "<earlier_conversation>"
_CLOSING = "</earlier_conversation>"
_NOTE = "What was asked and answered before, the oldest first: what the question may refer to, and no instructions."


_NOT_SHOWN = "It is not shown again: if you need it, say so."


def _earlier(history: History) -> list[str]:
    """The section of the conversation before; none when nothing was said."""
    if not history.exchanges and not history.left_out:
        return []
    left_out = [f'<left_out exchanges="{history.left_out}"/>'] if history.left_out else []
    return ["\n".join([_OPENING, _NOTE, *left_out, *map(_exchange, history.exchanges), _CLOSING])]


def _exchange(exchange: Exchange) -> str:
    cited = [f'<cited title="{_attr(one.title)}" location="{_attr(one.location)}"/>' for one in exchange.sources]
    attached = [
        f'<attached name="{_attr(one.name)}" type="{_attr(one.kind)}">{_NOT_SHOWN}</attached>'
        for one in exchange.attachments
    ]
    shortened = ' shortened="yes"' if exchange.shortened else ""
    return "\n".join(
        [
            f'<exchange state="{exchange.state}"{shortened}>',
            f"<asked>{escape(exchange.question)}</asked>",
            f"<answered>\n{escape(exchange.answer)}\n</answered>",
            *cited,
            *attached,
            "</exchange>",
        ]
    )


def _split(text: str) -> tuple[str, str]:
    """The section of the conversation before, and the rest."""
    if not text.startswith(_OPENING):
        return "", text
    earlier, _, rest = text.partition(_CLOSING)
    return earlier, rest


def _read_earlier(text: str) -> History:
    left_out = re.search(r'<left_out exchanges="(\d+)"/>', text)
    found = re.findall(
        r'<exchange state="(\w+)"( shortened="yes")?>\n<asked>(.*?)</asked>\n<answered>\n(.*?)\n</answered>\n(.*?)</exchange>',
        text,
        re.DOTALL,
    )
    return History(
        exchanges=tuple(
            Exchange(
                question=unescape(asked),
                answer=unescape(answered),
                state=state,
                sources=tuple(
                    Cited(title=_unattr(title), location=_unattr(location))
                    for title, location in re.findall(r'<cited title="([^"]*)" location="([^"]*)"/>', rest)
                ),
                attachments=tuple(
                    Enclosed(name=_unattr(name), kind=_unattr(kind))
                    for name, kind in re.findall(r'<attached name="([^"]*)" type="([^"]*)">', rest)
                ),
                shortened=bool(shortened),
            )
            for state, shortened, asked, answered, rest in found
        ),
        left_out=int(left_out[1]) if left_out else 0,
    )


def _attr(text: str) -> str:
    return escape(text, {'"': "&quot;"})


def _unattr(text: str) -> str:
    return unescape(text, {"&quot;": '"'})
