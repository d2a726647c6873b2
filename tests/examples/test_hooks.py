"""The example hooks, each in a whole run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.bootstrap.system import in_process_server
from runtime.client import HeadraceClient
from runtime.config import Settings
from runtime.events import catalog as ev
from runtime.events.plan import Todo
from runtime.llm.client import ModelClient, ModelRequest
from runtime.llm.script import ScriptedTurn
from runtime.testing import RunEvents, ask, calls, fails, plans, says, scripted

FIND = Todo(id="find", title="Find it", agent="research")
WRITE = Todo(id="write", title="Write it", agent="writing", depends_on=("find",))
GUIDE = "Orders\n\nAn order is delivered within 14 days. Returns are free of charge.\n"


def settings(folder: Path, hook: str) -> Settings:
    (folder / "documents").mkdir()
    (folder / "documents" / "guide.md").write_text(GUIDE)
    return Settings(
        model="scripted",
        log="memory:",
        data_dir=folder,
        documents=folder / "documents",
        hooks=(f"examples.hooks:{hook}",),
    )


def research(*turns: ScriptedTurn) -> tuple[ScriptedTurn, ...]:
    return (plans(FIND, WRITE), calls("research", "search_documents", query="delivered days"), *turns)


class Listening:
    """A stand-in that keeps what the model is told, by agent."""

    def __init__(self, *turns: ScriptedTurn) -> None:
        self._stand_in = scripted(*turns)
        self.told: dict[str, list[str]] = {}

    def __call__(self, real: Any) -> ModelClient:
        self._client = self._stand_in(real)
        return self  # type: ignore[return-value]

    def stream(self, request: ModelRequest) -> Any:
        self.told.setdefault(request.agent, []).append("\n".join(m.text() for m in request.messages))
        return self._client.stream(request)

    async def aclose(self) -> None:
        await self._client.aclose()


async def test_what_stands_in_its_sources_passes_the_fact_check(tmp_path: Path) -> None:
    model = Listening(
        *research(
            says("research", 'Within 14 days [1], and "Returns are free of charge" [1].'), says("writing", "So it is.")
        )
    )
    run = await ask("When do orders come?", model, settings(tmp_path, "check_facts"))
    run.assert_grammar()
    assert run.of(ev.CitationAdded)
    assert run.of(ev.StageFailed) == []
    assert "Unproven" not in model.told["writing"][0]


async def test_what_does_not_is_tried_once_more_and_then_noted(tmp_path: Path) -> None:
    model = Listening(*research(says("research", "Within 1 to 30 days [1]."), says("writing", "So it is.")))
    run = await ask("When do orders come?", model, settings(tmp_path, "check_facts"))
    run.assert_grammar()
    assert isinstance(run.end, ev.RunCompleted)
    assert [(failed.decision, failed.message) for failed in run.of(ev.StageFailed)] == [
        ("retry", "not in the cited sources: 1, 30")
    ]
    assert "(Unproven, not in the cited sources: 1, 30)" in model.told["writing"][0]


async def test_the_answer_is_translated_behind_the_last_todo(tmp_path: Path) -> None:
    german = says("writing", "So ist es.", when="Translate the answer into German")
    model = Listening(plans(WRITE.model_copy(update={"depends_on": ()})), german, says("writing", "So it is."))
    run = await ask("Is it?", model, settings(tmp_path, "translate_to_german"))
    run.assert_grammar()
    [revised] = run.of(ev.PlanRevised)
    assert [todo.id for todo in revised.plan.todos] == ["write", "translate"]
    assert (run.text("write"), run.text("translate")) == ("So it is.", "So ist es.")
    assert "So it is." in model.told["writing"][-1], "it is told what to translate"


async def test_a_person_is_asked_after_the_research_and_the_answer_goes_on(tmp_path: Path) -> None:
    model = Listening(*research(says("research", "It is known."), says("writing", "So it is.")))
    async with (
        in_process_server(settings(tmp_path, "ask_for_region"), stand_in=model) as url,
        HeadraceClient(url) as client,
    ):
        run_id = (await client.create("When do orders come?"))["run_id"]
        events = []
        async for event in client.follow(run_id):
            events.append(event)
            if isinstance(event.data, ev.ApprovalRequested):
                assert event.data.what == "Which region is this for?"
                assert "writing" not in model.told
                await client.say(run_id, type="answer", approval=event.data.approval, text="Europe")
    run = RunEvents(events)
    run.assert_grammar()
    assert isinstance(run.end, ev.RunCompleted)
    assert "The person said: Europe" in model.told["writing"][0]
    assert len(run.of(ev.ApprovalRequested)) == 1


SIDES = (
    Todo(id="a", title="Look at A", agent="research"),
    Todo(id="b", title="Look at B", agent="analysis"),
    Todo(id="both", title="Write it", agent="writing", depends_on=("a", "b")),
)


async def test_a_join_is_told_both_branches_and_why_one_gave_nothing(tmp_path: Path) -> None:
    broken = fails("analysis", "ModelRefused", times=0)
    model = Listening(plans(*SIDES), says("research", "A is fine."), broken, says("writing", "So it is."))
    run = await ask("A or B?", model, settings(tmp_path, "side_by_side"))
    run.assert_grammar()
    assert isinstance(run.end, ev.RunCompleted)
    [started] = run.of(ev.StageStarted, stage="both")
    assert started.context is not None
    assert started.context.splitlines()[:2] == [
        "What the steps before found, side by side:",
        "- Look at A: A is fine.",
    ]
    assert "- Look at B: nothing, because " in started.context
    assert started.context in model.told["writing"][0]


async def test_a_join_of_nothing_is_left_out(tmp_path: Path) -> None:
    broken = [fails(agent, "ModelRefused", times=0) for agent in ("research", "analysis")]
    run = await ask("A or B?", scripted(plans(*SIDES), *broken), settings(tmp_path, "side_by_side"))
    assert [skipped.reason for skipped in run.of(ev.StageSkipped)] == ["none of the steps before it gave a result"]
