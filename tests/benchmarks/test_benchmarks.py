"""The benchmarks' pure parts. What they measure is never a test."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import orjson
import psutil
import pytest

from benchmarks.__main__ import PARTS, main
from benchmarks.bench import QUICK, Round, Sizes
from benchmarks.cpu import Ledger, label, tree
from benchmarks.goals import Result, from_json, median, merged, percentile, ratio, table, to_json
from benchmarks.hub_path import _result, turns
from benchmarks.planning import phase
from benchmarks.progress import Progress, clock
from benchmarks.scripts import SENTENCE, SENTENCE_TOKENS, script, turn
from benchmarks.sse import TokenCounter, body_of, check
from benchmarks.system import READY
from runtime.llm.script import parse_script
from runtime.llm.scripted import _tokens


@dataclass
class FakeProcess:
    """A process whose counter a test sets."""

    pid: int
    used: float
    born: float = 1.0
    name: str = "worker"
    gone: bool = False

    def create_time(self) -> float:
        return self.born

    def cpu_seconds(self) -> float:
        if self.gone:
            raise psutil.NoSuchProcess(self.pid)
        return self.used

    def label(self) -> str:
        return self.name


# --- CPU -------------------------------------------------------------------------------------------------------------


def test_ledger_counts_only_what_was_used_since_it_was_opened() -> None:
    process = FakeProcess(1, 100.0)
    ledger = Ledger(lambda: [process])
    process.used = 103.5
    ledger.look()
    assert ledger.total() == pytest.approx(3.5)


def test_ledger_counts_a_process_that_starts_later_from_zero_and_keeps_one_that_ends() -> None:
    old, young = FakeProcess(1, 10.0, name="hub"), FakeProcess(2, 1.5, born=2.0, name="agent")
    members = [old]
    ledger = Ledger(lambda: members)
    old.used = 11.0
    members.append(young)
    ledger.look()
    young.gone = True
    old.used = 12.0
    ledger.look()
    members.remove(young)
    ledger.look()
    assert ledger.total() == pytest.approx(2.0 + 1.5)
    assert ledger.by_label() == {"hub": pytest.approx(2.0), "agent": pytest.approx(1.5)}


def test_a_reused_process_number_is_another_process() -> None:
    members = [FakeProcess(1, 50.0, born=1.0)]
    ledger = Ledger(lambda: members)
    members[0] = FakeProcess(1, 2.0, born=9.0)
    ledger.look()
    assert ledger.total() == pytest.approx(2.0)


def test_tree_of_a_process_that_is_gone_is_empty() -> None:
    assert tree(2**22 + 1) == []


@pytest.mark.parametrize(
    ("command", "name", "expected"),
    [
        (["ray::AgentHost.run_stage"], "ray::AgentHost", "ray::AgentHost"),
        (["ray::ServeReplica:headrace:EventGenerator"], "ray", "ray::ServeReplica:headrace:EventGenerator"),
        (["/venv/bin/python", "-u", "/ray/log_monitor.py", "--x"], "python", "log_monitor.py"),
        (["/venv/bin/python", "-m", "serve_app"], "python", "serve_app"),
        (["/ray/core/raylet", "--a"], "raylet", "raylet"),
        (["/venv/bin/python"], "python", "python"),
        ([], "kthread", "kthread"),
    ],
)
def test_processes_are_called_by_what_they_do(command: list[str], name: str, expected: str) -> None:
    assert label(command, name) == expected


# --- streams ---------------------------------------------------------------------------------------------------------


def _frame(number: int, text: str | None) -> bytes:
    family = "status" if text is None else "token"
    data = {} if text is None else {"kind": "text", "text": text}
    body = orjson.dumps({"seq": number, "data": data})
    return b"id: %d.1\nevent: %s\ndata: %s\n\n" % (number, family.encode(), body)


def _stream(*texts: str) -> bytes:
    frames = [_frame(1, None), *(_frame(number, text) for number, text in enumerate(texts, start=2))]
    return b": open\n\n" + b"".join(frames)


@pytest.mark.parametrize("size", [1, 2, 7, 14, 15, 16, 64, 10_000])
def test_tokens_are_counted_once_wherever_the_stream_is_cut(size: int) -> None:
    stream = _stream(*("word " for _ in range(50)))
    counter = TokenCounter()
    for at in range(0, len(stream), size):
        counter.feed(stream[at : at + size])
    assert counter.count == 50


def test_a_whole_stream_passes_the_check() -> None:
    verdict = check(_stream("one ", "two "), "one two ")
    assert (verdict.tokens, verdict.problem) == (2, None)
    assert verdict.frame_bytes == len(_frame(2, "one ")) + len(_frame(3, "two "))


def test_a_gap_in_the_ids_is_found() -> None:
    verdict = check(_frame(1, "one ") + _frame(3, "two "), "one two ")
    assert verdict.problem == "id 3 follows 1"


@pytest.mark.parametrize("said", [("one ",), ("two ", "one "), ("one ", "two ", "two ")])
def test_missing_swapped_and_doubled_tokens_are_found(said: tuple[str, ...]) -> None:
    assert "not the script's" in (check(_stream(*said), "one two ").problem or "")


def test_chunked_bodies_are_put_together() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert body_of(head + b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n") == b"hello world"
    assert body_of(b"HTTP/1.1 200 OK\r\n\r\nplain") == b"plain"


@pytest.mark.parametrize(
    "cut", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello"]
)
def test_a_response_that_breaks_off_is_an_error(cut: bytes) -> None:
    with pytest.raises(ValueError, match="response"):
        body_of(cut)


# --- scripts ---------------------------------------------------------------------------------------------------------


def test_a_script_is_one_the_scripted_model_plays_with_as_many_tokens_as_it_says() -> None:
    loads = turns(QUICK)
    parsed = parse_script(script(tuple(loads.values())), "test")
    assert len(list(_tokens(SENTENCE))) == SENTENCE_TOKENS
    for one in loads.values():
        played = next(other for other in parsed.turn if other.agent == one.agent)
        assert len(list(_tokens(played.text * played.repeat))) == one.tokens
        assert played.text * played.repeat == one.text


def test_planning_agents_are_given_the_same_delay() -> None:
    parsed = parse_script(script((turn("research", 20, 0),), planning_delay_s=1.0), "test")
    assert [one.delay_s for one in parsed.turn] == [1.0, 1.0, 1.0, 0.0]


def test_planning_phase_is_read_from_the_events_own_times() -> None:
    ends = [{"type": "agent.completed", "at": 11.0 + n / 100, "data": {"ms": 1000}} for n in range(3)]
    events = [{"type": "run.started", "at": 10.0}, *ends, {"type": "plan.committed", "at": 11.1}]
    assert phase(events) == {"phase_s": 1.1, "last_agent_s": 1.02, "agents_sum_s": 3.0}


# --- results ---------------------------------------------------------------------------------------------------------


def test_median_percentile_and_ratio() -> None:
    assert median([3, 1, 2]) == 2
    assert percentile([5, 1, 4, 2, 3], 0.95) == 5
    assert percentile([5, 1, 4, 2, 3], 0.5) == 3
    assert ratio(40.0, 2.0) == 20.0
    assert math.isnan(ratio(40.0, 0.0))
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_results_are_a_list_of_goal_target_measured_met() -> None:
    result = Result("speed", "≥ 2×", "3.0×", True, {"rounds": [1, 2]})
    data = to_json([result])
    assert json.loads(data) == [
        {"goal": "speed", "target": "≥ 2×", "measured": "3.0×", "met": True, "detail": {"rounds": [1, 2]}}
    ]
    assert from_json(data) == [result]


def test_new_results_take_the_place_of_old_ones_and_leave_the_rest() -> None:
    old = [Result("a", "1", "1", True), Result("b", "1", "1", True)]
    new = [Result("b", "1", "2", False), Result("c", "1", "3", True)]
    assert merged(old, new) == [old[0], new[0], new[1]]


def test_table_marks_what_is_missed_and_what_is_only_reported() -> None:
    lines = table([Result("a|b", "≥ 2×", "1×", False), Result("c", "reported", "5", True)], "Machine").splitlines()
    assert lines[0] == "Machine"
    assert lines[4:] == ["| a\\|b | ≥ 2× | 1× | **no** |", "| c | reported | 5 | reported |"]


def _round(cost: float, *problems: str) -> Round:
    return Round(1.0, cost, {}, {"tokens_per_s": 100.0, "problems": list(problems)})


def test_hub_goal_is_the_ratio_of_medians() -> None:
    ours = {"flat": [_round(10), _round(90), _round(20)], "flat_same_size": []}
    theirs = {"flat": [_round(100), _round(800), _round(600)]}
    result = _result("goal", 20.0, "flat", ours, theirs)
    assert result.met
    assert result.measured.startswith("30.0×")
    assert result.detail["ratio_by_round"] == [10.0, 8.89, 30.0]


def test_hub_goal_is_missed_when_a_token_is() -> None:
    ours = {"flat": [_round(1, "response 1: id 3 follows 1")], "flat_same_size": []}
    result = _result("goal", 20.0, "flat", ours, {"flat": [_round(100)]})
    assert not result.met
    assert result.detail["problems"] == ["response 1: id 3 follows 1"]


# --- the run ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("data: x\nready in 9.1 s at http://127.0.0.1:8001\nCtrl-C", "http://127.0.0.1:8001"),
        ("READY http://127.0.0.1:8002\n", "http://127.0.0.1:8002"),
    ],
)
def test_the_word_that_a_system_is_ready_is_understood(line: str, url: str) -> None:
    found = READY.search(line)
    assert found is not None
    assert found["url"] == url


def test_remaining_time_is_what_the_steps_left_hold() -> None:
    progress = Progress(100.0)
    with progress.step("one", 40.0):
        assert 59.0 <= progress.remaining_s() <= 100.0
    assert 59.0 <= progress.remaining_s() <= 60.0
    assert clock(125.9) == "2:05"


def test_full_and_quick_runs_are_expected_to_keep_their_time() -> None:
    assert sum(part.estimate(Sizes()) for part in PARTS.values()) < 15 * 60
    assert sum(part.estimate(QUICK) for part in PARTS.values()) < 4 * 60


def test_help_names_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in PARTS)
