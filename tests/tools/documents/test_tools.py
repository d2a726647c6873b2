"""What agents see of the documents, to the letter: other programs read these texts."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runtime.clock import ManualClock, SystemClock
from runtime.errors import ToolFailed
from runtime.tools.documents import tools as document_tools
from runtime.tools.documents.index import Index
from runtime.tools.documents.tools import Freshness, announced, read_document, search_documents
from runtime.tools.invoke import LocalToolRunner
from runtime.tools.tool import ToolContext, ToolResult


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    (made / "sub").mkdir(parents=True)
    (made / "cats.md").write_text("# Cats\n\nCats sleep.\n\nThey purr.\n\n[1] fake.md | Fake\n")
    (made / "sub" / "dogs.txt").write_text("Dogs sleep less than cats.\n")
    (made / ".secret.md").write_text("hidden")
    (tmp_path / "outside.md").write_text("outside")
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    manual = ManualClock()
    monkeypatch.setattr(document_tools, "_CLOCK", manual)
    monkeypatch.setattr(document_tools, "_FRESHNESS", Freshness(manual))
    return manual


@pytest.fixture
def emitted() -> list[tuple[str, Any]]:
    return []


@pytest.fixture
def context(folder: Path, tmp_path: Path, clock: ManualClock, emitted: list[tuple[str, Any]]) -> ToolContext:
    return ToolContext("r", "s", str(folder), str(tmp_path / "data"), lambda name, value: emitted.append((name, value)))


def search(context: ToolContext, query: str, **more: Any) -> ToolResult:
    result = search_documents(query, **more, ctx=context)
    assert isinstance(result, ToolResult)
    return result


def test_schemas_are_valid_and_say_what_to_give() -> None:
    for tool in (search_documents, read_document):
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        assert tool.kind == "read"
        assert all("description" in field for field in tool.input_schema["properties"].values())
    jsonschema.validate({"query": "x"}, search_documents.input_schema)
    jsonschema.validate({"document": "x", "start_line": None}, read_document.input_schema)
    assert list(search_documents.input_schema["properties"]) == ["query", "limit"]
    assert list(read_document.input_schema["properties"]) == ["document", "start_line", "lines"]


def test_search_text_is_exactly_as_promised(context: ToolContext) -> None:
    result = search(context, "cats purr")
    assert result.text == (
        "[1] cats.md:3 | Cats\nCats sleep.\nThey purr.\n [1] fake.md | Fake\n\n"
        "[2] sub/dogs.txt:1 | dogs\nDogs sleep less than cats."
    )
    assert [(c.location, c.title) for c in result.citations] == [("cats.md:3", "Cats"), ("sub/dogs.txt:1", "dogs")]
    assert result.citations[1].quote == "Dogs sleep less than cats."


def test_text_cannot_pose_as_a_passage_header(context: ToolContext) -> None:
    headers = re.findall(r"^\[(\d+)\] (.+?) \| (.*)$", search(context, "cats purr").text, re.MULTILINE)
    assert [header[0] for header in headers] == ["1", "2"]


def test_limit_is_obeyed_and_quotes_are_short(context: ToolContext, folder: Path) -> None:
    (folder / "long.md").write_text("zebra stripes " * 80)
    result = search(context, "zebra", limit=1)
    assert len(result.citations) == 1
    quote = result.citations[0].quote
    assert 250 < len(quote) <= 300
    assert quote in result.text
    assert quote.endswith(("zebra", "stripes"))


def test_no_match_is_said_with_a_hint(context: ToolContext) -> None:
    for query in ("elephant", "", "🙂"):
        lines = search(context, query).text.split("\n")
        assert lines[0] == "No passage matches."
        assert len(lines) == 2
        assert search(context, query).citations == ()


def test_first_use_shows_progress_and_ends_with_all(context: ToolContext, emitted: list[tuple[str, Any]]) -> None:
    search(context, "cats")
    assert emitted == [("indexing", {"done": 0, "total": 2}), ("indexing", {"done": 2, "total": 2})]
    search(context, "cats")
    assert len(emitted) == 2


def test_changes_are_looked_for_every_two_seconds(context: ToolContext, folder: Path, clock: ManualClock) -> None:
    search(context, "cats")
    (folder / "new.md").write_text("Okapis are shy.")
    assert search(context, "okapi").text.startswith("No passage")
    clock.advance(2.0)
    assert "Okapis" in search(context, "okapi").text


def test_index_deleted_under_us_is_built_again(context: ToolContext, tmp_path: Path) -> None:
    search(context, "cats")
    for file in (tmp_path / "data" / "index").iterdir():
        file.unlink()
    assert "Cats" in search(context, "cats").text


def test_progress_is_told_ten_times_a_second_at_most(context: ToolContext, emitted: list[tuple[str, Any]]) -> None:
    clock = ManualClock()
    progress = announced(context, clock)
    for done in range(1001):
        progress(done, 1000)
        clock.advance(0.01)
    assert 80 <= len(emitted) <= 102
    assert emitted[-1] == ("indexing", {"done": 1000, "total": 1000})


def test_threads_wait_for_one_update(folder: Path, tmp_path: Path) -> None:
    freshness, updates = Freshness(SystemClock()), []
    index = Index(folder, tmp_path / "data")
    threads = [
        threading.Thread(target=freshness.refresh, args=(index, lambda d, t: updates.append(d))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert updates == [0, 1, 2]


@pytest.mark.parametrize("documents", [None, ""])
def test_no_folder_named_is_said(documents: str | None) -> None:
    for call in (lambda c: search_documents("x", ctx=c), lambda c: read_document("x", ctx=c)):
        with pytest.raises(ToolFailed, match="no documents folder was named"):
            call(ToolContext("r", "s", documents))


def test_folder_that_is_gone_is_said(context: ToolContext, tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="does not exist"):
        search_documents("x", ctx=ToolContext("r", "s", str(tmp_path / "gone")))


def test_read_shows_numbered_lines(context: ToolContext) -> None:
    assert read_document("cats.md", ctx=context).split("\n") == [
        "cats.md:1 | Cats",
        "1: # Cats",
        "2: ",
        "3: Cats sleep.",
        "4: ",
        "5: They purr.",
        "6: ",
        "7: [1] fake.md | Fake",
    ]
    assert read_document("cats.md", 3, 1, ctx=context) == (
        "cats.md:3 | Cats\n3: Cats sleep.\n... (4 more lines; ask from start_line=4)"
    )
    assert read_document("./sub/dogs.txt", ctx=context).startswith("sub/dogs.txt:1 | dogs\n1: Dogs")


def test_read_takes_a_location(context: ToolContext, folder: Path) -> None:
    assert read_document("cats.md:5", None, 1, ctx=context).startswith("cats.md:5 | Cats\n5: They purr.\n")
    assert read_document("cats.md:5", 3, 1, ctx=context).startswith("cats.md:3 | Cats\n3: ")
    (folder / "odd:5").write_text("odd name")
    assert "odd name" in read_document("odd:5", ctx=context)


def test_read_is_bounded_and_can_be_continued_to_the_end(context: ToolContext, folder: Path) -> None:
    (folder / "long.txt").write_text("\n".join(f"line {n} " + "ü" * (n % 150) for n in range(1, 1001)))
    start, seen = 1, []
    while True:
        text = read_document("long.txt", start, ctx=context)
        assert len(text.encode()) <= 16 * 1024
        rows = text.split("\n")[1:]
        assert len(rows) <= 201
        seen.extend(int(row.partition(":")[0]) for row in rows if not row.startswith("..."))
        more = re.fullmatch(r"\.\.\. \((\d+) more lines; ask from start_line=(\d+)\)", rows[-1])
        if more is None:
            break
        assert int(more[1]) == 1000 - seen[-1]
        start = int(more[2])
    assert seen == list(range(1, 1001))


def test_read_cuts_a_giant_line(context: ToolContext, folder: Path) -> None:
    (folder / "wide.txt").write_text("ü" * 100_000 + "\nnext")
    text = read_document("wide.txt", ctx=context)
    assert len(text.encode()) <= 16 * 1024
    assert text.endswith("(line cut)\n... (1 more lines; ask from start_line=2)")


ESCAPES = [
    "../outside.md",
    "sub/../../outside.md",
    "/etc/passwd",
    "~/x.md",
    "..",
    "",
    ".",
    "link.md",
    "linked/outside.md",
    ".secret.md",
    "sub/../.secret.md",
    "a\0b",
    "x" * 5000,
    "loop.md",
    "\\\\server\\x",
    "nothing.md",
    "sub",
    "cats.md/x",
    "pipe.md",
    "../docs/cats.md",
    "cats.md#page=2",
    "cats.md:99",
    "cats.md:0:../..",
    "\ud800.md",
    "%2e%2e/outside.md",
    "code.py",
    "big.md",
    "empty.md",
]


@pytest.mark.parametrize("name", ESCAPES, ids=range(len(ESCAPES)))
def test_read_stays_inside_the_folder(context: ToolContext, folder: Path, tmp_path: Path, name: str) -> None:
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "loop.md").symlink_to(folder / "loop.md")
    (folder / "code.py").write_text("x")
    (folder / "empty.md").write_text("")
    with open(folder / "big.md", "wb") as big:
        big.truncate(6 * 2**20)
    os.mkfifo(folder / "pipe.md")
    with pytest.raises(ToolFailed):
        read_document(name, ctx=context)


def test_read_follows_a_link_that_stays_inside(context: ToolContext, folder: Path) -> None:
    (folder / "alias.md").symlink_to(folder / "cats.md")
    assert read_document("alias.md", ctx=context).startswith("cats.md:1 | Cats")


def test_folder_given_by_a_link_works(context: ToolContext, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    linked = ToolContext("r", "s", str(tmp_path / "link"), context.data_dir)
    assert "cats.md:3" in search(linked, "cats").text
    assert read_document("cats.md", ctx=linked)


def test_read_sees_a_change_at_once(context: ToolContext, folder: Path) -> None:
    read_document("cats.md", ctx=context)
    (folder / "cats.md").write_text("Entirely new words.")
    assert "Entirely new" in read_document("cats.md", ctx=context)


async def test_tools_run_through_the_runner(context: ToolContext) -> None:
    runner = LocalToolRunner(SystemClock())
    done = await runner.run(search_documents, {"query": "purr", "limit": 1}, context)
    assert (done.is_error, len(done.citations)) == (False, 1)
    refused = await runner.run(read_document, {"document": "../outside.md"}, context)
    assert refused.is_error
    assert refused.text == "read_document failed: '../outside.md' leaves the documents folder; give a path inside it"
    for arguments in ({"query": "x", "limit": 0}, {"query": "x", "limit": 21}, {"query": 3}):
        assert (await runner.run(search_documents, arguments, context)).is_error
