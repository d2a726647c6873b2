"""Files to lines to passages: Markdown, text, HTML, PDF, and everything that can be wrong with them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from runtime.tools.documents.load import Document, load
from runtime.tools.documents.passages import MAX_CHARACTERS, passages
from runtime.tools.documents.walk import MAX_BYTES, Kind, walk


def loaded(tmp_path: Path, data: bytes | str, name: str = "a.md", kind: Kind = "markdown") -> Document:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load(path, name, kind)


def make_pdf(*pages: str, title: str = "") -> bytes:
    """A PDF by hand: one line of Helvetica per page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        kids.append(len(objects) + 1)
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {resources} /Contents {len(objects)} 0 R >>"
        )
    objects[1] = f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] >>"
    objects.append(f"<< /Title ({title}) >>")
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer << /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}\nstartxref\n{len(body)}\n%%EOF\n".encode()


# --- Markdown and text -----------------------------------------------------------------------------------------------


def test_markdown_passages_have_heading_paths_and_line_numbers(tmp_path: Path) -> None:
    text = "# Guide\n\nIntro.\n\n## Install ##\n\nRun it.\n\n### Linux\nUse apt.\n\n## Use\n\nGo.\n"
    found = [(p.location, p.title, p.text) for p in passages(loaded(tmp_path, text))]
    assert found == [
        ("a.md:3", "Guide", "Intro."),
        ("a.md:7", "Guide > Install", "Run it."),
        ("a.md:10", "Guide > Install > Linux", "Use apt."),
        ("a.md:14", "Guide > Use", "Go."),
    ]


def test_underlined_headings_count_and_other_rules_do_not(tmp_path: Path) -> None:
    document = loaded(tmp_path, "Top\n===\n\nBody one\nBody two\n---\n\n- item\n---\n\nSub\n---\nText\n")
    assert [(line.number, line.text, line.level) for line in document.lines if line.level] == [
        (1, "Top", 1),
        (2, "", 1),
        (11, "Sub", 2),
        (12, "", 2),
    ]
    assert document.title == "Top"


def test_comments_in_code_blocks_and_front_matter_are_no_headings(tmp_path: Path) -> None:
    document = loaded(
        tmp_path, "---\ntitle: x\n# no\n---\n# Yes\n```sh\n# no\n\nls\n```\n~~~~\n# no\n~~~\n~~~~\n# Last\n"
    )
    assert [line.text for line in document.lines if line.level] == ["Yes", "Last"]
    code = next(p for p in passages(document) if p.location == "a.md:6")
    assert code.text.startswith("```sh\n# no\nls\n```")


def test_every_word_is_in_a_passage_and_none_is_too_long(tmp_path: Path) -> None:
    words = [f"word{n}{'.' if n % 13 == 0 else ''}" for n in range(5000)]
    lines = [
        " ".join(words[:2000]),
        *(" ".join(words[n : n + 9]) for n in range(2000, 4000, 9)),
        " ".join(words[4000:]),
    ]
    found = list(passages(loaded(tmp_path, "\n".join(lines[:60]) + "\n\n" + "\n\n".join(lines[60:]))))
    assert {word for p in found for word in p.text.split()} >= set(words[:3900])
    assert max(len(p.text) for p in found) <= MAX_CHARACTERS
    assert sum(len(p.text) >= 350 for p in found) > 0.9 * len(found)


def test_passages_are_verbatim_without_empty_lines(tmp_path: Path) -> None:
    (found,) = passages(loaded(tmp_path, "  indented *so*\n\n\nnext\tone\n", "a.txt", "text"))
    assert found.text == "  indented *so*\nnext\tone"
    assert (found.location, found.title) == ("a.txt:1", "a")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("BACKUP PLAN\n\nText.\n", "BACKUP PLAN"),
        ("Backup plan\n===========\nText.\n", "Backup plan"),
        ("Backup plan\nText.\n", "a"),  # a line of a paragraph
        ("This is a sentence.\n\nText.\n", "a"),
        (f"{'word ' * 20}\n\nText.\n", "a"),
        ("only this", "a"),
        ("\n\nText.\n", "a"),
    ],
)
def test_plain_text_is_called_by_a_first_line_that_stands_alone(tmp_path: Path, text: str, title: str) -> None:
    assert loaded(tmp_path, text, "a.txt", "text").title == title


def test_a_line_without_spaces_is_cut(tmp_path: Path) -> None:
    found = list(passages(loaded(tmp_path, "x" * 5000)))
    assert "".join(p.text for p in found) == "x" * 5000
    assert {p.location for p in found} == {"a.md:1"}


def test_only_real_line_ends_count(tmp_path: Path) -> None:
    document = loaded(tmp_path, "one\r\ntwo\rthree\u2028still\x0cthree\nfour")
    assert [line.text for line in document.lines] == ["one", "two", "three\u2028still three", "four"]


@pytest.mark.parametrize("data", ["", "\n\n\n", "#\n##\n", "# Only a title"])
def test_empty_documents_have_no_passages(tmp_path: Path, data: str) -> None:
    assert list(passages(loaded(tmp_path, data))) == []


# --- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_in_every_form(tmp_path: Path, encoding: str) -> None:
    document = loaded(tmp_path, "Grüße 日本 🙂".encode(encoding))
    assert (document.lines[0].text, document.problem) == ("Grüße 日本 🙂", None)


def test_other_encodings_are_guessed_and_reported(tmp_path: Path) -> None:
    document = loaded(tmp_path, "Grüße".encode("latin-1"))
    assert document.lines[0].text == "Grüße"
    assert document.problem == "is not UTF-8: read as Windows-1252"


def test_html_says_its_encoding(tmp_path: Path) -> None:
    page = '<meta charset="windows-1251"><p>Привет</p>'.encode("windows-1251")
    document = loaded(tmp_path, page, "a.html", "html")
    assert (document.lines[0].text, document.problem) == ("Привет", None)
    unknown = loaded(tmp_path, b'<meta charset="x-klingon"><p>\xfc</p>', "b.html", "html")
    assert "unknown encoding" in str(unknown.problem)


def test_binaries_have_no_lines(tmp_path: Path) -> None:
    assert loaded(tmp_path, b"\x7fELF\0\0", "program", "text") == Document("program", "program")
    assert loaded(tmp_path, b"\0\1\2", "a.md").problem == "is no text"


def test_control_characters_and_surrogates_are_taken_out(tmp_path: Path) -> None:
    document = loaded(tmp_path, b"a\x01b\x1b[31m\xc2\x85c")
    assert document.lines[0].text == "a b [31m c"
    assert loaded(tmp_path, b"\xff\xfea\0\0\xd8b\0", "b.md").lines[0].text.isprintable()


# --- HTML ------------------------------------------------------------------------------------------------------------


def test_html_is_what_a_reader_sees(tmp_path: Path) -> None:
    source = """<html><head><title> The  page </title><style>p{}</style><script>"<p>no</p>"</script></head><body>
    <nav><a>Home</a></nav><h1>Top <em>it</em></h1><p>One
    two &amp; <b>th</b>ree<p>four<br>five<h2>Sub</h2><ul><li>item one<li>item two</ul>
    <pre>code\n  indented</pre><table><tr><td>a<td>b</table><!-- no --></body></html>"""
    document = loaded(tmp_path, source, "a.html", "html")
    texts = [(line.text, line.level) for line in document.lines if line.text]
    assert texts == [
        ("Top it", 1),
        ("One two & three", 0),
        ("four", 0),
        ("five", 0),
        ("Sub", 2),
        ("item one", 0),
        ("item two", 0),
        ("code", 0),
        ("  indented", 0),
        ("a b", 0),
    ]
    assert document.title == "The page"
    assert [p.title for p in passages(document)] == ["Top it", "Top it > Sub"]


@pytest.mark.parametrize(
    "source", ["", "<", "<p", "<!--", "<script>x", "\x02\x03\x04", "<frameset><frame></frameset>", "<h1>"]
)
def test_broken_html_is_read_as_far_as_it_goes(tmp_path: Path, source: str) -> None:
    loaded(tmp_path, source, "a.html", "html")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "source", ["<div>x" * 500_000, "<b>x" * 300_000, "<!--" * 500_000, "<p>x y</p>\n" * 100_000, "<" * 10**6]
)
def test_hostile_html_takes_bounded_time(tmp_path: Path, source: str) -> None:
    list(passages(loaded(tmp_path, source, "a.html", "html")))


# --- PDF -------------------------------------------------------------------------------------------------------------


def test_pdf_passages_are_by_page(tmp_path: Path) -> None:
    document = loaded(tmp_path, make_pdf("First page here", "Second one", title="My Paper"), "p.pdf", "pdf")
    found = [(p.location, p.title, p.text) for p in passages(document)]
    assert found == [("p.pdf#page=1", "My Paper", "First page here"), ("p.pdf#page=2", "My Paper", "Second one")]
    assert document.problem is None


@pytest.mark.parametrize(
    "data", [b"", b"not a pdf", b"%PDF-1.4\n", make_pdf("x")[:300], make_pdf("x")[-200:], b"%PDF-1.4" + b"\0" * 999]
)
def test_broken_pdf_is_a_problem(tmp_path: Path, data: bytes) -> None:
    document = loaded(tmp_path, data, "p.pdf", "pdf")
    assert document.problem
    assert not any(line.text for line in document.lines)


def test_pdf_without_text_says_so(tmp_path: Path) -> None:
    assert "no text" in str(loaded(tmp_path, make_pdf(""), "p.pdf", "pdf").problem)


# --- walking ---------------------------------------------------------------------------------------------------------


def test_walk_takes_documents_and_leaves_the_rest(tmp_path: Path) -> None:
    for name in (
        "b.md",
        "a/x.HTML",
        "a/y.pdf",
        "README",
        "c.txt",
        ".env",
        ".git/config.md",
        "node_modules/m/r.md",
        ".venv/l.txt",
        "a/.hidden.md",
        "code.py",
        "i.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = walk(tmp_path)
    assert [file.name for file in found.files] == ["README", "a/x.HTML", "a/y.pdf", "b.md", "c.txt"]
    assert found.problems == ()
    assert found.skipped == 4


def test_walk_follows_no_links(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret.md").write_text("secret")
    (root / "a.md").write_text("x")
    (root / "loop").symlink_to(root)
    (root / "out").symlink_to(outside)
    (root / "s.md").symlink_to(outside / "secret.md")
    (root / "self.md").symlink_to(root / "self.md")
    (root / "dangling.md").symlink_to(root / "nothing")
    os.mkfifo(root / "pipe.md")
    assert [file.name for file in walk(root).files] == ["a.md"]


def test_walk_reports_what_is_too_large_or_oddly_named(tmp_path: Path) -> None:
    with open(tmp_path / "big.md", "wb") as big:
        big.truncate(MAX_BYTES + 1)
    with open(tmp_path / "big.pdf", "wb") as big:
        big.truncate(MAX_BYTES + 1)
    (tmp_path / "new\nline.md").write_text("x")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.md")).write_text("x")
    found = walk(tmp_path)
    assert [file.name for file in found.files] == ["big.pdf"]
    assert {problem.name for problem in found.problems} == {"big.md", "new\ufffdline.md", "\ufffd.md"}


def test_walk_takes_folders_of_any_depth(tmp_path: Path) -> None:
    here = os.getcwd()
    os.chdir(tmp_path)  # a path this long can only be made piece by piece
    try:
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        Path("deep.md").write_text("x")
    finally:
        os.chdir(here)
    try:
        assert [file.name.count("/") for file in walk(tmp_path).files] == [1200]
    finally:
        # not by shutil, which recurses: pytest's own clean-up would die of this tree
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)
