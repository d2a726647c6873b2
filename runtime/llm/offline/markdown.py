"""From a piece of Markdown or plain text to blocks of plain text with their heading and line.

A piece comes from anywhere in a document: it may start inside a list, a table or a code fence. What cannot be told
apart is left out; a statement missed does no harm, half a code fence quoted does.
"""

from __future__ import annotations

import csv
import re
import textwrap
from dataclasses import dataclass
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

Kind = Literal["paragraph", "bullet", "row", "code"]

# Entities stay as written: decoded, a word would differ from the document's. Indented text in a piece is more often a
# list's continuation than code.
_PARSER = MarkdownIt("commonmark").enable("table").disable(["entity", "code", "reference"])
_FENCE = re.compile(r"^\s*(```|~~~)")
_COLUMNS = re.compile(r"\S {3,}\S")
_SHORT_CODE_LINES = 3
_SHORT = 0.75
"""Share of the longest line below which prose wrapped by hand is rare."""


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, list item, table row or short code block, without markup."""

    kind: Kind
    text: str
    heading: str
    """The nearest heading above it in the piece; empty when there is none."""
    line: int
    """Lines above it in the piece."""


def blocks(text: str) -> list[Block]:
    """The blocks of ``text`` in order. Headings, long code, HTML, pictures and table rulers are not among them."""
    tokens = _PARSER.parse(_whole_fences(textwrap.dedent(text)))
    found: list[Block] = []
    heading, in_items, row, row_line = "", 0, list[str](), 0
    for before, token in zip([None, *tokens], tokens, strict=False):
        in_items += {"list_item_open": 1, "list_item_close": -1}.get(token.type, 0)
        line = token.map[0] if token.map else 0
        if token.type == "tr_open":
            row, row_line = [], line
        elif token.type == "tr_close":
            found.append(Block("row", _row_text(row), heading, row_line))
        elif token.type == "fence" and token.content.count("\n") <= _SHORT_CODE_LINES:
            found.append(Block("code", token.content.strip(), heading, line))
        elif token.type == "inline" and before is not None:
            if before.type == "heading_open":
                heading = _plain(token).replace("\n", " ")
            elif before.type in ("th_open", "td_open"):
                row.append(_plain(token))
            else:
                pieces = _paragraphs(_plain(token), heading, line, "bullet" if in_items else "paragraph")
                heading = pieces[-1].heading if pieces else heading
                found.extend(pieces)
    return [block for block in found if block.text]


def rows(text: str, delimiter: str) -> list[Block]:
    """The rows of comma- or tab-separated values, each as a table's; none when a line is not a row of its own."""
    lines = text.replace("\r", " ").split("\n")
    if any(line.count('"') % 2 for line in lines) or len(text) >= csv.field_size_limit():
        return []
    cells = ([cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter))
    found = [Block("row", _row_text(row), "", line) for line, row in enumerate(cells)]
    return [block for block in found if block.text]


def _whole_fences(text: str) -> str:
    """``text`` without its code fence marks and code when a fence is cut in half, unchanged otherwise."""
    lines = text.split("\n")
    marks = [i for i, line in enumerate(lines) if _FENCE.match(line)]
    if len(marks) % 2 == 0:
        return text
    # An opening mark names a language or is followed by nothing that closes it; a first bare mark closes code above it.
    opens = lines[marks[0]].strip() not in ("```", "~~~") or len(marks) > 1
    cut = range(marks[-1], len(lines)) if opens else range(marks[0] + 1)
    return "\n".join("" if i in cut else line for i, line in enumerate(lines))


def _plain(token: Token) -> str:
    parts: list[str] = []
    for child in token.children or []:
        if child.type == "code_inline":
            parts.append(f"`{child.content}`")
        elif child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type == "html_inline":
            parts.append(" ")
        elif child.type in ("text", "text_special"):
            parts.append(child.content)
    return "".join(parts).strip()


def _row_text(cells: list[str]) -> str:
    filled = [cell.replace("\n", " ") for cell in cells if cell]
    return f"{filled[0]}: {'; '.join(filled[1:])}" if len(filled) > 1 else ""


def _paragraphs(text: str, heading: str, line: int, kind: Kind) -> list[Block]:
    """Plain text puts headings and items on lines of their own: such lines are parted, wrapped prose is joined."""
    lines = text.split("\n")
    if 2 * sum(bool(_COLUMNS.search(one)) for one in lines) > len(lines):
        return []
    width = max(map(len, lines))
    itemised = _is_itemised(lines, width)
    found: list[Block] = []
    gathered: list[str] = []
    titles = 0
    for i, this in enumerate(lines):
        if this.lstrip().startswith("|") and this.count("|") > 1:
            # A table whose head lies outside this piece.
            found.append(Block("row", _row_text([cell.strip() for cell in this.split("|")]), heading, line + i))
            continue
        gathered.append(this.strip())
        after = lines[i + 1].strip() if i + 1 < len(lines) else ""
        if after and not (itemised or _ends_here(this, after, width)):
            continue
        piece = " ".join(gathered)
        if after and titles < 2 and _is_heading(piece):
            # A heading right below another one stands under it: a title, then its first section.
            heading = f"{heading}: {piece}" if titles else piece
            titles += 1
        else:
            found.append(Block(kind, piece, heading, line + i + 1 - len(gathered)))
            titles = 0
        gathered = []
    return found


def _is_heading(piece: str) -> bool:
    return len(piece.split()) < 8 and not piece[:1].islower() and not re.search(r"[.?!:;,]$", piece)


def _is_itemised(lines: list[str], width: int) -> bool:
    """Whether each line is an item: all begin with a capital, or all but the longest were ended well before its length."""
    if len(lines) < 3:
        return False
    ended = [line.strip() for line in lines if len(line) < width]
    if len(ended) > 1 and all(len(line) <= _SHORT * width and line[-1:] not in ".,;-–—" for line in ended):
        return True
    return not any(line.strip()[:1].islower() for line in lines[1:]) and 0.7 * len(lines) <= sum(
        line.strip()[:1].isupper() for line in lines
    )


def _had_room(this: str, after: str, width: int) -> bool:
    """Whether the next line's first word would have fitted: whoever wraps text breaks a line only when it does not."""
    return len(this) + 1 + len(after.partition(" ")[0]) <= width


def _ends_here(this: str, after: str, width: int) -> bool:
    if after.startswith("|") or this.endswith(":"):
        return True
    whole = this.endswith((".", "?", "!")) or (len(this) < 0.6 * width and not re.search(r"[,;–—-]$", this))
    return whole and after[:1].isupper() and _had_room(this, after, width)
