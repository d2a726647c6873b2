"""The index: incremental, shared by processes, mended when broken, and deaf to query syntax."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.errors import ConfigurationError
from runtime.tools.documents.index import Index, Summary, build
from runtime.tools.documents.search import terms


class Recorder:
    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.seen.append((done, total))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    (made / "cats.md").write_text("# Cats\n\nCats sleep most of the day and purr.\n")
    (made / "dogs.md").write_text("# Dogs\n\nDogs bark at the postman. A dog needs walks.\n")
    (made / "birds.md").write_text("# Birds\n\nBirds sing in the morning and sleep at night.\n")
    return made


@pytest.fixture
def index(folder: Path, tmp_path: Path) -> Index:
    return Index(folder, tmp_path / "data")


def updated(index: Index) -> list[tuple[int, int]]:
    recorder = Recorder()
    index.update(recorder)
    return recorder.seen


def found(index: Index, query: str, limit: int = 6) -> list[str]:
    return [passage.location for passage in index.search(query, limit)]


def test_search_before_any_update_finds_nothing(index: Index) -> None:
    assert index.search("cats", 5) == []


def test_best_passage_comes_first_and_words_are_stemmed(index: Index) -> None:
    assert updated(index) == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert found(index, "why do cats purr?")[0] == "cats.md:3"
    assert found(index, "a barking dog")[0] == "dogs.md:3"
    assert found(index, "sleeping", 1) != []
    assert found(index, "elephants") == []


def test_passage_with_more_of_the_terms_wins_over_one_with_a_rare_word_repeated(index: Index, folder: Path) -> None:
    (folder / "x.md").write_text("postman postman postman postman postman\n")
    (folder / "y.md").write_text("The postman delivers letters in the morning before the shops open, rain or shine.\n")
    updated(index)
    assert found(index, "postman delivers letters morning")[0] == "y.md:1"


def test_update_reads_only_what_changed(index: Index, folder: Path) -> None:
    updated(index)
    assert updated(index) == []
    (folder / "cats.md").write_text("# Cats\n\nCats chase mice.\n")
    assert updated(index) == [(0, 1), (1, 1)]
    assert found(index, "mice") == ["cats.md:3"]
    assert found(index, "purr") == []
    (folder / "new.txt").write_text("Hedgehogs are prickly.")
    assert updated(index) == [(0, 1), (1, 1)]
    assert found(index, "hedgehog") == ["new.txt:1"]
    (folder / "dogs.md").unlink()
    (folder / "new.txt").rename(folder / "renamed.txt")
    assert updated(index) == [(0, 1), (1, 1)]
    assert found(index, "dogs") == []
    assert found(index, "hedgehog") == ["renamed.txt:1"]


def test_change_within_the_same_size_and_mtime_is_seen(index: Index, folder: Path) -> None:
    path = folder / "cats.md"
    os.utime(path, (1000, 1000))
    updated(index)
    path.write_text(path.read_text().replace("purr", "hiss"))
    os.utime(path, (1000, 1000))
    updated(index)
    assert found(index, "hiss") == ["cats.md:3"]


def test_problems_are_reported_every_time_and_read_once(index: Index, folder: Path) -> None:
    (folder / "bad.pdf").write_bytes(b"%PDF nonsense")
    (folder / "old.txt").write_bytes("Grüße".encode("latin-1"))
    first = index.update(lambda done, total: None)
    assert [problem.name for problem in first.problems] == ["bad.pdf", "old.txt"]
    again = Recorder()
    assert index.update(again) == first
    assert again.seen == []


def test_build_gives_a_summary_and_refuses_a_missing_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "code.py").write_text("x")
    assert build(folder, tmp_path / "data", lambda done, total: None) == Summary(3, 3, 1, ())
    with pytest.raises(ConfigurationError, match="does not exist; name an existing folder"):
        build(tmp_path / "nothing", tmp_path / "data", lambda done, total: None)


def test_files_are_for_the_owner_only(index: Index) -> None:
    updated(index)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in index.path.parent.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(index.path.parent.stat().st_mode) == 0o700


HOSTILE = [
    '"',
    '""',
    '"cats',
    "cats*",
    "*",
    "NEAR(cats dogs)",
    "cats AND NOT dogs",
    "-cats",
    "^cats",
    "title:cats",
    "(",
    ")",
    "{title}: cats",
    "",
    "   ",
    "🙂",
    "🙂 cats",
    "cats\x00dogs",
    "\ud800",
    "'; DROP TABLE files; --",
    "cats " * 2000,
    "x" * 10_000,
    "a OR",
    "+",
    "日本語",
    "%",
    "\\",
    "what is the",
    " ".join(f"word{n}" for n in range(5000)),
    "don't",
    "C++ / Java",
    "a-b-c_d.e",
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_query_is_never_syntax(index: Index, query: str) -> None:
    updated(index)
    hits = found(index, query)
    if "cats" in query:
        assert "cats.md:3" in hits


def test_terms_drop_stop_words_unless_nothing_else_is_left() -> None:
    assert terms("What happens when a process dies?") == ("process", "dies", "die", "process dies")
    assert terms("what is the") == ("what", "is", "the", "what is", "is the")
    assert terms("the post-hook") == ("post", "hook", "post hook")
    assert terms("don't") == ("don", "don t")
    assert terms("🙂 ... !") == ()


def test_corrupt_index_is_built_anew_with_a_log_line(index: Index, caplog: pytest.LogCaptureFixture) -> None:
    updated(index)
    index.path.write_bytes(b"this is no database at all" * 500)
    assert found(index, "purr") == ["cats.md:3"]
    assert "building it anew" in caplog.text
    index.path.write_bytes(b"nor is this" * 500)
    assert len(updated(index)) == 4


def test_damaged_pages_are_mended_too(index: Index, folder: Path) -> None:
    for n in range(200):
        (folder / f"n{n}.md").write_text(f"Text number {n} about things. " * 40)
    updated(index)
    data = bytearray(index.path.read_bytes())
    data[4096 * 3 :] = os.urandom(len(data) - 4096 * 3)
    index.path.write_bytes(bytes(data))
    (folder / "cats.md").write_text("# Cats\n\nCats purr loudly.\n")
    index.update(lambda done, total: None)
    assert found(index, "purr") == ["cats.md:3"]


def test_index_of_another_version_is_built_anew(index: Index) -> None:
    updated(index)
    with sqlite3.connect(index.path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert len(updated(index)) == 4


def test_a_file_that_vanishes_while_it_is_read_is_a_problem(index: Index, folder: Path) -> None:
    def vanish(done: int, total: int) -> None:
        (folder / "dogs.md").unlink(missing_ok=True)

    summary = index.update(vanish)
    assert [problem.name for problem in summary.problems] == ["dogs.md"]
    assert index.update(lambda done, total: None).problems == ()


PROGRAM = """
import sys
from pathlib import Path
from runtime.tools.documents.index import build
print(build(Path(sys.argv[1]), Path(sys.argv[2]), lambda done, total: sys.stderr.write("." if done else "")))
"""


def test_two_processes_share_the_work(folder: Path, tmp_path: Path) -> None:
    for n in range(300):
        (folder / f"n{n}.md").write_text(f"# Number {n}\n\nText about number {n}.\n")
    command = [sys.executable, "-c", PROGRAM, str(folder), str(tmp_path / "data")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    results = [process.communicate(timeout=50) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert {out for out, _ in results} == {"Summary(files=303, passages=303, skipped=0, problems=())\n"}
    assert sum(err.count(".") for _, err in results) == 303
    assert len(found(Index(folder, tmp_path / "data"), "number", 20)) == 20


def test_lock_of_a_killed_process_is_free_again(folder: Path, tmp_path: Path) -> None:
    program = PROGRAM.replace(
        "lambda done, total: sys.stderr.write",
        "lambda done, total: __import__('os').kill(__import__('os').getpid(), 9) if done else print",
    )
    command = [sys.executable, "-c", program, str(folder), str(tmp_path / "data")]
    assert subprocess.run(command, capture_output=True, timeout=50).returncode == -9
    assert len(updated(Index(folder, tmp_path / "data"))) == 3  # one file was done and stays done


@pytest.mark.timeout(60)
def test_two_thousand_files_are_indexed_in_bounded_time(index: Index, folder: Path) -> None:
    for n in range(2000):
        (folder / f"n{n}.md").write_text(f"# Number {n}\n\n" + f"Text about number {n} and the rest. " * 30)
    began = time.monotonic()
    assert updated(index)[-1] == (2003, 2003)
    middle = time.monotonic()
    assert updated(index) == []
    assert found(index, "text about number 1234")[0] == "n1234.md:3"
    assert middle - began < 30
    assert time.monotonic() - middle < 3
