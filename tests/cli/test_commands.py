"""The commands against a real server: what they print where, and how they leave."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runtime.cli.app import app
from runtime.events.codec import public_json
from runtime.events.envelope import Stored
from tests.cli import runs_by_hand as by_hand
from tests.client.raw_server import RUN_ID, RawServer, random_cuts

ROOT = Path(__file__).parents[2]
Serve = Callable[[RawServer], RawServer]
runner = CliRunner()


@pytest.mark.parametrize(
    ("log", "code", "said"),
    [
        (by_hand.SUCCESS, 0, "A river is crossed by a **bridge** [1]."),
        (by_hand.GUARDED, 0, "the guardrail's verdict is 'weapons': It asks for harm."),
        (by_hand.FAILED, 1, "failed in layer model: the model is overloaded (code overloaded)"),
        (by_hand.CANCELLED, 3, "cancelled: asked by the user"),
    ],
)
def test_ask_says_the_end_and_leaves_with_its_code(serve_raw: Serve, log: list[Stored], code: int, said: str) -> None:
    server = serve_raw(RawServer(log))
    result = runner.invoke(app, ["ask", by_hand.QUESTION, "--url", server.url])
    assert result.exit_code == code, result.output
    assert said in result.stdout
    assert f"replay: headrace tail {RUN_ID} --url {server.url}" in result.stderr
    go_on = f"go on: headrace resume {RUN_ID} --url {server.url}"
    assert result.stderr.splitlines().count(go_on) == (code != 0)


def test_tail_of_a_failed_run_says_how_to_go_on(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.FAILED))
    result = runner.invoke(app, ["tail", RUN_ID, "--url", server.url])
    assert (result.exit_code, result.stderr) == (1, f"go on: headrace resume {RUN_ID} --url {server.url}\n")


@pytest.mark.parametrize(
    ("log", "code"), [(by_hand.RESUMED, 0), (by_hand.FAILED, 1), (by_hand.CANCELLED, 3), (by_hand.GUARDED, 0)]
)
def test_resume_draws_the_new_run_and_leaves_with_its_code(serve_raw: Serve, log: list[Stored], code: int) -> None:
    server = serve_raw(RawServer(log))
    result = runner.invoke(app, ["resume", RUN_ID, "--url", server.url])
    assert result.exit_code == code, result.output
    assert (server.paths, server.posts) == ([f"/v1/runs/{RUN_ID}/resume"], [{}])


def test_resume_sends_what_was_wished(serve_raw: Serve, tmp_path: Path) -> None:
    server = serve_raw(RawServer(by_hand.RESUMED))
    todos = [{"id": "find", "title": "Find", "agent": "research", "depends_on": []}]
    shown = {"run_id": RUN_ID, "plan": [{**todos[0], "status": "completed", "failures": 0}]}
    path = tmp_path / "plan.json"
    arguments = ["resume", RUN_ID, "--url", server.url, "--detach", "--plan", str(path)]
    arguments += ["--from", "find", "--budget", "0.5", "--deadline", "60"]
    for written in ({"todos": todos}, todos, shown):
        path.write_text(json.dumps(written))
        result = runner.invoke(app, arguments)
        assert (result.exit_code, result.stdout) == (0, f"{RUN_ID}\n")
    wished = {"from_stage": "find", "plan": {"todos": todos}, "budget_usd": 0.5, "deadline_s": 60.0}
    assert server.posts == [wished] * 3


def test_ask_may_ask_for_the_plan_first(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.SUCCESS))
    assert runner.invoke(app, ["ask", "q", "--url", server.url, "--approve-plan"]).exit_code == 0
    assert server.posts == [{"input": "q", "approve_plan": True}]


def test_ask_sends_its_budget(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.SUCCESS))
    assert runner.invoke(app, ["ask", "q", "--url", server.url, "--budget", "0.25"]).exit_code == 0
    assert server.posts == [{"input": "q", "budget_usd": 0.25}]
    for wrong in ("0", "-1", "1001", "nan", "inf", "much"):
        assert runner.invoke(app, ["ask", "q", "--url", server.url, "--budget", wrong]).exit_code == 2
    assert len(server.posts) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ("{}", "has no todos"),
        ("[]", "has no todos"),
        ('"text"', "has no todos"),
        ('{"todos": "x"}', "has no todos"),
        (None, "cannot be read"),
    ],
)
def test_a_plan_that_is_none_is_told_before_anything_is_sent(
    serve_raw: Serve, tmp_path: Path, content: str | None, sentence: str
) -> None:
    server = serve_raw(RawServer(by_hand.RESUMED))
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)
    result = runner.invoke(app, ["resume", RUN_ID, "--url", server.url, "--plan", str(path)])
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not server.posts


def test_resume_says_what_the_server_refused(serve_raw: Serve) -> None:
    refused = {
        "detail": "The run cannot be resumed so: no step x.",
        "code": "validation_failed",
        "errors": [{"pointer": "/from_stage", "detail": "no step x"}],
    }
    server = serve_raw(RawServer(by_hand.RESUMED, refuse=(422, refused)))
    result = runner.invoke(app, ["resume", RUN_ID, "--url", server.url, "--from", "x"])
    assert (result.exit_code, result.stderr.count("no step x")) == (2, 1)
    running = {"detail": "The run is not over; cancel it first, or follow it.", "code": "run_unfinished"}
    server = serve_raw(RawServer(by_hand.RESUMED, refuse=(409, running)))
    result = runner.invoke(app, ["resume", RUN_ID, "--url", server.url])
    assert (result.exit_code, "is not over" in result.stderr) == (1, True)


def test_json_is_byte_for_byte_the_log_however_often_the_line_breaks(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.SUCCESS, cut=random_cuts(3, 3, 4000)))
    result = runner.invoke(app, ["ask", "q", "--url", server.url, "--json"])
    assert result.exit_code == 0
    assert result.stdout.encode().splitlines() == [public_json(event) for event in by_hand.SUCCESS]
    assert server.resumed_at


def test_json_of_a_failed_run_tells_why_on_stderr(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.FAILED))
    result = runner.invoke(app, ["tail", RUN_ID, "--url", server.url, "--json", "--after", "20"])
    assert result.exit_code == 1
    assert json.loads(result.stdout.splitlines()[0])["seq"] == 21
    assert "trying again may help" in result.stderr


def test_tail_replays_and_after_leaves_out_what_was_seen(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.SUCCESS))
    whole = runner.invoke(app, ["tail", RUN_ID], env={"HEADRACE_URL": server.url})
    rest = runner.invoke(app, ["tail", RUN_ID, "--url", server.url, "--after", "12"])
    assert whole.exit_code == rest.exit_code == 0
    assert whole.stdout.endswith(rest.stdout)
    assert len(rest.stdout) < len(whole.stdout)
    assert "[2] started: Write the answer" in rest.stdout


def test_detach_prints_the_id_and_leaves(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.SUCCESS))
    result = runner.invoke(app, ["ask", "q", "--url", server.url, "--detach"])
    assert (result.exit_code, result.stdout) == (0, f"{RUN_ID}\n")


@pytest.mark.parametrize(
    ("command", "name", "kind", "other"),
    [("agents", "ferry", "stage", "row, offline:extractive"), ("tools", "row", "at_most_once", "ferry")],
)
def test_agents_and_tools_are_listed(serve_raw: Serve, command: str, name: str, kind: str, other: str) -> None:
    server = serve_raw(RawServer([]))
    shown = runner.invoke(app, [command, "--url", server.url])
    assert shown.exit_code == 0, shown.output
    [row] = [line for line in shown.stdout.splitlines() if line.startswith(name)]
    assert kind in row
    assert other in row
    found = json.loads(runner.invoke(app, [command, "--url", server.url, "--json"]).stdout)
    assert [one["name"] for one in found] == [name]


def test_runs_and_cancel(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.SUCCESS))
    assert "completed" in runner.invoke(app, ["runs", "--url", server.url]).stdout
    assert json.loads(runner.invoke(app, ["runs", "--url", server.url, "--json"]).stdout)[0]["run_id"] == RUN_ID
    assert runner.invoke(app, ["cancel", RUN_ID, "--url", server.url]).exit_code == 0
    assert server.cancelled.is_set()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["ask", "q", "--docs", "/no/such/folder"], 2, "the documents folder '/no/such/folder' does not exist"),
        (["ask", "q", "--docs", __file__], 2, "is a file"),
        (["ask", " ", "--url", "http://x"], 2, "ask something"),
        (["ask", "q", "--url", "http://127.0.0.1:9"], 1, "start it with `headrace serve`"),
        (["ask", "q", "--url", "http://x", "--model", "offline"], 2, "belong to a private system"),
        (["resume", "r", "--url", "http://x", "--model", "offline"], 2, "belong to a private system"),
        (["resume", "r", "--url", "http://127.0.0.1:9"], 1, "start it with `headrace serve`"),
        (["runs", "--url", "http://127.0.0.1:9"], 1, "nothing answers at http://127.0.0.1:9"),
        (["serve", "--host", "0.0.0.0"], 2, "reachable from outside"),
        (["serve", "--model", "anthropic"], 2, "needs a key"),
        (["serve", "--docs", "/no/such/folder"], 2, "does not exist"),
        (["models", "fetch", "gpt"], 2, "there is no model 'gpt'"),
        (["index", "/no/such/folder"], 2, "does not exist"),
        (["migrate"], 2, "name a database with --log or HEADRACE_LOG"),
        (["migrate", "--log", "memory:"], 2, "needs no migration"),
        (["migrate", "--log", "postgresql://me:a@b/c@host/db"], 2, "percent-encoded"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_remedy(arguments: list[str], code: int, sentence: str) -> None:
    result = runner.invoke(app, arguments, env={"ANTHROPIC_API_KEY": "", "ANTHROPIC_BASE_URL": "", "HEADRACE_LOG": ""})
    assert result.exit_code == code, result.output
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = runner.invoke(app, ["serve", "--port", str(port), "--data", str(tmp_path / "d")])
    assert result.exit_code == 1
    assert result.stderr == (
        f"headrace: port {port} on 127.0.0.1 is in use; stop what uses it, or choose another with --port {port + 1}\n"
    )
    assert not (tmp_path / "d").exists()


def test_an_unknown_run_is_a_sentence(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.SUCCESS))
    result = runner.invoke(app, ["tail", "nope", "--url", server.url])
    assert result.exit_code == 1
    assert "is the run's id right?" in result.stderr


def test_ctrl_c_cancels_the_run_and_says_so(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.CANCELLED, hold_at=len(by_hand.CANCELLED) - 2))
    command = [sys.executable, "-m", "runtime.cli", "ask", "q", "--url", server.url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "tool search_documents" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert server.cancelled.is_set()
    assert "cancelling run" in err
    assert "the run is cancelled" in err
    assert "cancelled: asked by the user" in out


def test_a_second_ctrl_c_leaves_at_once(serve_raw: Serve) -> None:
    server = RawServer(by_hand.CANCELLED, hold_at=len(by_hand.CANCELLED) - 2)
    server.cancelled = type("Deaf", (), {"set": lambda self: None, "wait": server.cancelled.wait})()
    serve_raw(server)
    command = [sys.executable, "-m", "runtime.cli", "ask", "q", "--url", server.url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        if "tool search_documents" in line:
            break
    process.send_signal(signal.SIGINT)
    assert "cancelling run" in process.stderr.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 130
    assert time.monotonic() - began < 2


def test_a_terminal_gets_the_live_picture(serve_raw: Serve) -> None:
    server = serve_raw(RawServer(by_hand.SUCCESS))
    leader, follower = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    command = [sys.executable, "-m", "runtime.cli", "ask", "q", "--url", server.url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=follower, stderr=subprocess.DEVNULL, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
    os.close(leader)
    assert process.wait(10) == 0
    text = shown.decode()
    assert "Crossing rivers" in text
    assert "Sources" in text
    assert "\x1b[?25h" in text


def test_help_and_version() -> None:
    shown = runner.invoke(app, ["--help"]).stdout
    for command in (
        "serve",
        "ask",
        "tail",
        "agents",
        "tools",
        "runs",
        "resume",
        "cancel",
        "doctor",
        "migrate",
        "models",
        "index",
        "version",
    ):
        assert command in shown
        assert runner.invoke(app, [command, "--help"]).exit_code == 0
    assert runner.invoke(app, ["version"]).stdout.startswith("headrace ")


def test_help_loads_nothing_heavy() -> None:
    heavy = ("pydantic", "httpx2", "runtime.config", "ray")
    code = f"import sys; from runtime.cli import app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_attached_files_are_sent_with_the_question(serve_raw: Serve, tmp_path: Path) -> None:
    server = serve_raw(RawServer(by_hand.SUCCESS))
    (tmp_path / "Map.PNG").write_bytes(b"\x89PNG")
    (tmp_path / "notes.md").write_text("Rivers rise.")
    files = ["--attach", str(tmp_path / "Map.PNG"), "--attach", str(tmp_path / "notes.md")]
    result = runner.invoke(app, ["ask", by_hand.QUESTION, "--url", server.url, *files])
    assert result.exit_code == 0, result.output
    picture, notes = server.posts[0]["attachments"]
    assert picture == {"type": "image", "media_type": "image/png", "data": "iVBORw==", "name": "Map.PNG"}
    assert (notes["type"], notes["media_type"], notes["name"]) == ("text", "text/plain", "notes.md")


@pytest.mark.parametrize(("name", "said"), [("a.exe", "cannot be attached"), ("gone.png", "cannot be read")])
def test_a_file_that_cannot_be_attached_is_a_misuse(tmp_path: Path, name: str, said: str) -> None:
    result = runner.invoke(app, ["ask", "Why?", "--attach", str(tmp_path / name)])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
