"""What a model answered once is answered again, exactly, without it; what was never asked fails by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.clock import ManualClock
from runtime.errors import ConfigurationError, ModelError, ModelOverloaded, ModelRequestRejected, ModelStopUnknown
from runtime.events import catalog as ev
from runtime.events.messages import user
from runtime.events.plan import Todo
from runtime.llm.client import Chunk, ModelRequest, ToolSpec
from runtime.llm.script import Script
from runtime.llm.scripted import ScriptedClient
from runtime.testing import ask, calls, fails, plans, recording, replaying, says, scripted
from runtime.testing.replay import RecordingClient, ReplayingClient, error_named, request_hash

ASKED = ModelRequest(
    "m", "Be brief.", (user("<question>Why?</question>"),), (ToolSpec("look", "Looks.", {"type": "object"}),), agent="a"
)
ONE = (plans(Todo(id="one", title="One", agent="analysis")), calls("analysis", "calculate", expression="2 + 2"))


async def heard(client: RecordingClient | ReplayingClient, request: ModelRequest = ASKED) -> list[Chunk]:
    return [chunk async for chunk in client.stream(request)]


def recorder(path: Path, *turns: object) -> RecordingClient:
    return RecordingClient(ScriptedClient(Script(rate=0, turn=turns), ManualClock()), path)  # type: ignore[arg-type]


async def test_a_run_is_replayed_from_what_was_recorded(tmp_path: Path) -> None:
    file = tmp_path / "models.jsonl"
    script = scripted(*ONE, says("analysis", "It is 4."))
    recorder_of = recording(file)
    first = await ask("2 + 2?", lambda real: recorder_of(lambda: script(real)))
    again = await ask("2 + 2?", replaying(file))
    assert again.types() == first.types()
    assert again.text("one") == first.text("one") == "It is 4."
    assert len(again.of(ev.ToolCompleted)) == 1, "tools are really called"


async def test_a_run_that_asks_something_else_fails_and_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "models.jsonl"
    recorder_of, script = recording(file), scripted(*ONE, says("analysis", "It is 4."))
    await ask("2 + 2?", lambda real: recorder_of(lambda: script(real)))
    run = await ask("3 + 3?", replaying(file))
    assert isinstance(run.end, ev.RunFailed)
    assert "record anew" in str([failed.message for failed in run.of(ev.AgentFailed)])


async def test_chunks_come_back_as_they_were(tmp_path: Path) -> None:
    client = recorder(tmp_path / "m", calls("a", "look", text="I look. ", at="the tide"))
    first = await heard(client)
    assert await heard(ReplayingClient(tmp_path / "m")) == first


async def test_a_request_made_again_gets_the_next_answer_failures_included(tmp_path: Path) -> None:
    client = recorder(tmp_path / "m", fails("a", "ModelOverloaded", after=1, then="So it is."))
    with pytest.raises(ModelOverloaded):
        await heard(client)
    said = await heard(client)
    replay = ReplayingClient(tmp_path / "m")
    with pytest.raises(ModelOverloaded, match="the script fails here"):
        await heard(replay)
    assert await heard(replay) == await heard(replay) == said


async def test_a_request_that_was_never_made_is_named(tmp_path: Path) -> None:
    await heard(recorder(tmp_path / "m", says("a", "Yes.")))
    with pytest.raises(
        ModelRequestRejected, match="agent 'a', turn 1: what the model is told has changed; record anew"
    ):
        await heard(
            ReplayingClient(tmp_path / "m"), ModelRequest("m", "Be long.", ASKED.messages, ASKED.tools, agent="a")
        )


async def test_a_call_left_early_is_not_recorded(tmp_path: Path) -> None:
    answer = recorder(tmp_path / "m", says("a", "One two three.")).stream(ASKED)
    await anext(answer)
    await answer.aclose()
    assert not (tmp_path / "m").exists()


async def test_a_recording_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing-here"):
        replaying(tmp_path / "nothing-here")
    (tmp_path / "m").write_text("not json\n")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        replaying(tmp_path / "m")


def test_errors_are_found_by_the_name_that_is_recorded() -> None:
    assert error_named("ModelStopUnknown") is ModelStopUnknown
    assert error_named("ModelOverloaded") is ModelOverloaded
    assert error_named("ModelOfTheFuture") is ModelError


def test_a_request_may_hold_what_utf_8_cannot() -> None:
    asked = [ModelRequest("m", "s", (user(f"a{odd}"),)) for odd in ("\ud800", "\ud801")]
    assert request_hash(asked[0]) != request_hash(asked[1])
