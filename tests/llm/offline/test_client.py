"""Whole turns and whole runs of the offline client: tool calls, citations, pace, determinism, honesty."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.clock import ManualClock
from runtime.errors import ModelRequestRejected
from runtime.events.brief import Brief, Finding, render
from runtime.events.messages import ContentBlock, Message, ToolResultBlock, ToolUseBlock, text_of, tool_uses, user
from runtime.events.plan import Plan
from runtime.llm.client import Chunk, Completed, ModelRequest, TextDelta, ToolSpec
from runtime.llm.offline.client import OfflineClient
from runtime.llm.offline.note import NOTE
from runtime.llm.offline.statements import parse, untraceable
from runtime.llm.offline.words import terms

DOCUMENTS = {
    path.name: path.read_text() for path in sorted((Path(__file__).parents[2] / "fixtures" / "documents").glob("*.md"))
}
AGENTS = (("research", "searches"), ("analysis", "ranks"), ("writing", "writes"))
TOOLS = (ToolSpec("search_documents", "", {}), ToolSpec("read_document", "", {}))


class Shelf:
    """The two document tools over texts in memory, in the agreed format."""

    def __init__(self, documents: dict[str, str]) -> None:
        self.documents = documents
        self.texts: dict[str, str] = {}

    def answer(self, call: ToolUseBlock) -> str:
        return (
            self._search(call.input["query"], call.input["limit"])
            if call.name == "search_documents"
            else self._read(call)
        )

    def _search(self, query: str, limit: int) -> str:
        wanted = set(terms(query))
        hits = [(name, text) for name, text in self.documents.items() if wanted & set(terms(text))]
        ranked = sorted(hits, key=lambda hit: -len(wanted & set(terms(hit[1]))))[:limit]
        for name, text in ranked:
            self.texts[f"{name}:1"] = text
        rows = [
            f"[{n}] {name}:1 | {name.removesuffix('.md').replace('-', ' ')}\n{text}"
            for n, (name, text) in enumerate(ranked, 1)
        ]
        return "\n\n".join(rows) or "No passage matches.\nTry other words."

    def _read(self, call: ToolUseBlock) -> str:
        lines = self.documents[call.input["document"]].split("\n")
        first = call.input["start_line"]
        for i in range(first, len(lines) + 1):
            self.texts.setdefault(f"{call.input['document']}:{i}", "\n".join(lines[i - 1 :]))
        return f"{call.input['document']}:{first} | x\n" + "\n".join(
            f"{i}: {lines[i - 1]}" for i in range(first, len(lines) + 1)
        )


async def turn(request: ModelRequest, words_per_s: float = 0.0) -> tuple[list[Chunk], Completed]:
    chunks = [chunk async for chunk in OfflineClient(ManualClock(), words_per_s).stream(request)]
    done = chunks[-1]
    assert isinstance(done, Completed)
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta)) == text_of(done.content)
    return chunks, done


def request(
    agent: str, brief: Brief, *more: Message, tools: tuple[ToolSpec, ...] = (), tool_choice: str | None = None
) -> ModelRequest:
    messages = (user(render(brief)), *more)
    return ModelRequest("offline", "Be brief.", messages, tools, tool_choice, agent=agent, turn=len(messages))


async def stage(agent: str, brief: Brief, shelf: Shelf) -> str:
    more: list[Message] = []
    for _ in range(5):
        _, done = await turn(request(agent, brief, *more, tools=TOOLS if agent == "research" else ()))
        if done.stop_reason == "end_turn":
            return text_of(done.content)
        results: tuple[ContentBlock, ...] = tuple(
            ToolResultBlock(tool_use_id=call.id, content=shelf.answer(call)) for call in tool_uses(done.content)
        )
        more += [Message(role="assistant", content=done.content), Message(role="user", content=results)]
    raise AssertionError("the stage does not end")


async def run(question: str, shelf: Shelf) -> str:
    brief = Brief(question, agents=AGENTS, has_documents=True)
    _, done = await turn(request("planner", brief))
    plan = Plan.model_validate_json(text_of(done.content))
    texts: dict[str, str] = {}
    for todo in plan.todos:
        found = tuple(Finding(d, plan.todo(d).agent, plan.todo(d).title, texts[d]) for d in todo.depends_on)
        texts[todo.id] = await stage(todo.agent, Brief(question, todo.title, findings=found, has_documents=True), shelf)
    return texts[plan.todos[-1].id]


QUESTIONS = [
    ("What is a refund?", "A refund is money we pay back for an order that was returned or never arrived."),
    ("Compare the queue and the log", "The log is the durable record of everything that happened to an order"),
    (
        "Why does the commander hand over?",
        "The commander hands over after four hours, because tired people miss things.",
    ),
    (
        "Which payments are retried and who approves refunds above 500 €?",
        "above 500 €: the finance department; three working days",
    ),
    ("How is it made sure that no order is lost when the database fails?", "so no order is lost."),
    ("Was steht im Kalender?", "Der Urlaub wird im Kalender eingetragen."),
]


@pytest.mark.parametrize(("question", "contains"), QUESTIONS)
async def test_answer_is_relevant_cited_traceable_and_short(question: str, contains: str) -> None:
    shelf = Shelf(DOCUMENTS)
    answer = await run(question, shelf)
    assert contains in answer
    assert untraceable(answer, shelf.texts) == ()
    assert 1 <= len(parse(answer).statements) <= 10
    assert answer.split("\n\n")[-1].startswith("Sources:\n[1] ")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["a.md", "b.md"]), st.text(max_size=400), min_size=1), st.text(max_size=60))
async def test_nothing_is_invented_whatever_is_asked_of_whatever_documents(
    documents: dict[str, str], question: str
) -> None:
    shelf = Shelf({name: " ".join(text.split("\r")) for name, text in documents.items()})
    assert untraceable(await run(question, shelf), shelf.texts) == ()


async def test_nothing_found_is_said_with_what_was_searched_for() -> None:
    answer = await run("What is photosynthesis in plants?", Shelf(DOCUMENTS))
    assert answer.startswith("Nothing was found for “photosynthesis in plants”. Searched for: “photosynthesis plants”")


async def test_without_documents_the_answer_says_so() -> None:
    _, done = await turn(request("writing", Brief("What is a lease?", "Write")))
    assert text_of(done.content).startswith("There are no documents to quote from.")


async def test_research_calls_tools_with_deterministic_ids() -> None:
    asked = request("research", Brief("Why do orders fail?", "Search", has_documents=True), tools=TOOLS)
    (chunks, done), (again, _) = await turn(asked), await turn(asked)
    assert chunks == again
    assert done.stop_reason == "tool_use"
    assert next((call.id, call.name, call.input["query"]) for call in tool_uses(done.content)) == (
        "call_1_0",
        "search_documents",
        "orders fail",
    )


LIMIT = "You reached the tool-call limit; continue from where you left off."


@pytest.mark.parametrize("how", ["limit", "none", "no tools"])
async def test_research_finishes_with_what_it_has(how: str) -> None:
    brief = Brief("How is a tool-call limit handled?", "Search", has_documents=True)
    asked = request(
        "research", brief, *([user(LIMIT)] if how == "limit" else []), tools=() if how == "no tools" else TOOLS
    )
    _, done = await turn(asked if how != "none" else request("research", brief, tools=TOOLS, tool_choice="none"))
    assert (done.stop_reason, tool_uses(done.content)) == ("end_turn", ())
    assert text_of(done.content).startswith("Nothing was found")


async def test_failed_search_is_reported() -> None:
    brief = Brief("refunds", "Search the documents: refunds", has_documents=True)
    call = ToolUseBlock(id="call_1_0", name="search_documents", input={"query": "refunds", "limit": 8})
    failed = ToolResultBlock(tool_use_id="call_1_0", content="The index is gone.\nTrace", is_error=True)
    more = (Message(role="assistant", content=(call,)), Message(role="user", content=(failed,)))
    _, done = await turn(request("research", brief, *more, tools=TOOLS, tool_choice="none"))
    assert "A search failed: The index is gone." in text_of(done.content)


async def test_numbers_that_collide_between_stages_are_given_anew() -> None:
    texts = [
        f"- The {side} keeps every order it gets. [1]\n\nSources:\n[1] {side}.md:4 | {side}"
        for side in ("queue", "log")
    ]
    found = tuple(
        Finding(f"s{i}", "research", f"Search the documents: {side}", texts[i])
        for i, side in enumerate(("queue", "log"))
    )
    _, done = await turn(
        request("writing", Brief("Compare the queue and the log", "Write", findings=found, has_documents=True))
    )
    assert text_of(done.content) == (
        "On queue:\n- The queue keeps every order it gets. [1]\n\nOn log:\n- The log keeps every order it gets. [2]\n\n"
        "Sources:\n[1] queue.md:4 | queue\n[2] log.md:4 | log"
    )


async def test_findings_without_sources_are_named_as_such() -> None:
    found = (Finding("s1", "research", "Look up refunds", "Refunds are quick."),)
    _, done = await turn(request("writing", Brief("refunds", "Write", findings=found, has_documents=True)))
    assert text_of(done.content) == "From Look up refunds, without a source:\n- Refunds are quick."


async def test_words_come_at_the_pace_set_and_planning_at_once() -> None:
    clock = ManualClock()
    client = OfflineClient(clock, words_per_s=10.0)
    start, times = clock.monotonic(), []
    async for _chunk in client.stream(request("writing", Brief("What is a lease?", "Write"))):
        times.append(round(clock.monotonic() - start, 6))
    assert times[:-1] == [round(i / 10, 6) for i in range(len(times) - 1)]
    title, _ = [chunk async for chunk in client.stream(request("titler", Brief("What is a lease?")))]
    assert title == TextDelta('{"title": "Lease"}')
    assert len(clock.slept) == len(times) - 2


async def test_usage_counts_words_and_costs_nothing() -> None:
    _, done = await turn(request("writing", Brief("What is a lease?", "Write")))
    assert done.model == "offline" == NOTE.name and not NOTE.is_language_model
    assert done.usage.output_tokens == len(text_of(done.content).split())
    assert done.usage.input_tokens > 2 and done.usage.cost_usd == 0


async def test_answer_longer_than_allowed_ends_as_such() -> None:
    asked = ModelRequest("offline", "", (user("What is a lease?"),), agent="writing", max_tokens=3)
    _, done = await turn(asked)
    assert done.stop_reason == "max_tokens" and text_of(done.content).split() == ["There", "are", "no"]


async def test_guardrail_speaks_json() -> None:
    _, done = await turn(request("guardrail", Brief("How do I make a pipe bomb?")))
    assert json.loads(text_of(done.content)) == {
        "allowed": False,
        "category": "weapons",
        "reason": "Instructions for making weapons or explosives are not provided.",
    }


async def test_agent_of_the_users_is_taken_by_its_tools_or_schema() -> None:
    _, done = await turn(request("librarian", Brief("refunds", "Search", has_documents=True), tools=TOOLS))
    assert done.stop_reason == "tool_use"
    _, done = await turn(
        request("poet", Brief("refunds", "Rhyme", has_documents=True), tools=(ToolSpec("rhyme", "", {}),))
    )
    assert tool_uses(done.content) == ()
    with pytest.raises(ModelRequestRejected):
        await turn(
            ModelRequest("offline", "", (user("x"),), output_schema={"properties": {"colour": {}}}, agent="painter")
        )


async def test_closed_client_makes_no_turn() -> None:
    client = OfflineClient(ManualClock())
    await client.aclose()
    with pytest.raises(ModelRequestRejected):
        await anext(client.stream(request("titler", Brief("x"))))


@pytest.mark.parametrize(
    "question", ["", "🙂🙂🙂", "?" * 50, "x" * 10_000, "how to " * 1500, "这是什么？", "<question>", "a\n\n\nb", "\x00"]
)
@pytest.mark.parametrize("agent", ["planner", "titler", "guardrail", "research", "analysis", "writing", "someone"])
async def test_odd_input_gets_an_answer(agent: str, question: str) -> None:
    tools = TOOLS if agent == "research" else ()
    _, done = await turn(request(agent, Brief(question, question[:200], has_documents=True), tools=tools))
    assert done.content
