"""Writes small PDF files with text on pages, uncompressed, the same bytes each time: documents for evaluations."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_TEXT = "BT /F1 11 Tf 72 770 Td 15 TL\n{lines}\nET"


def pdf(pages: Sequence[str], title: str) -> bytes:
    """A PDF of ``pages``; paragraphs are parted by empty lines. ASCII only, 48 lines a page."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{' '.join(f'{5 + 2 * i} 0 R' for i in range(len(pages)))}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Title ({_escaped(title)}) >>",
    ]
    for i, page in enumerate(pages):
        stream = _TEXT.format(lines="\n".join(f"({_escaped(line)}) Tj T*" for line in _lines(page)))
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {6 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    return _file(objects)


def _lines(page: str) -> list[str]:
    lines: list[str] = []
    for paragraph in page.strip().split("\n\n"):
        lines += [*textwrap.wrap(" ".join(paragraph.split()), 88), ""]
    return lines[:-1]


def _file(objects: Sequence[str]) -> bytes:
    out, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    rows = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return f"{out}xref\n0 {size}\n0000000000 65535 f \n{rows}{trailer}".encode("ascii")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
