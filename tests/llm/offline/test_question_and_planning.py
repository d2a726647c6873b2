"""The form of a question decides the plan and the title."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.events.brief import Brief
from runtime.events.plan import Plan
from runtime.llm.offline import planning, tasks, titling
from runtime.llm.offline.arrange import topic_query
from runtime.llm.offline.question import understand

AGENTS = (("research", "searches"), ("analysis", "ranks"), ("writing", "writes"))

FORMS = [
    ("What is a post-hook?", "definition", 2),
    ("what's MMR", "definition", 2),
    ("Define lease", "definition", 2),
    ("What does idempotent mean?", "definition", 2),
    ("How do I add a tool?", "how", 3),
    ("Hello, please explain how tokens are streamed", "how", 3),
    ("Why does an actor need a reason?", "why", 4),
    ("What is the purpose of the log?", "why", 4),
    ("Compare the stream hub and the executor", "compare", 4),
    ("SQLite vs PostgreSQL", "compare", 4),
    ("What is the difference between a run, a stage and a turn?", "compare", 5),
    ("How does the hub differ from the executor?", "compare", 4),
    ("List the event families", "list", 3),
    ("What are the four layers?", "list", 3),
    ("Which errors are retried and how is a tool-call limit handled?", "several", 4),
    ("What is a lease? Why does it expire? Who renews it? How long?", "several", 5),
    ("refund policy", "plain", 3),
    ("How many stages can run at once?", "plain", 3),
    ("Wie funktioniert der Hub?", "plain", 3),
    ("", "plain", 3),
    ("🙂🙂", "plain", 3),
]


def plan_for(question: str, agents: tuple[tuple[str, str], ...] = AGENTS, has_documents: bool = True) -> Plan:
    return planning.plan(Brief(question, agents=agents, has_documents=has_documents))


@pytest.mark.parametrize(("question", "form", "todos"), FORMS)
def test_form_decides_the_number_of_todos(question: str, form: str, todos: int) -> None:
    assert understand(question).form == form
    assert len(plan_for(question).todos) == todos


def test_sides_of_a_comparison_are_searched_in_parallel() -> None:
    plan = plan_for("Compare the stream hub and the executor in terms of memory")
    first, second, ranked, written = plan.todos
    assert (first.depends_on, second.depends_on) == ((), ())
    assert [tasks.topic_of(t.title, "") for t in (first, second)] == ["stream hub (memory)", "executor (memory)"]
    assert ranked.depends_on == ("search-1", "search-2")
    assert "rank" in written.depends_on


def test_later_question_is_told_what_it_means() -> None:
    assert understand("What is a lease? Why does it expire?").topics[1] == "Why does it expire (a lease)"


def test_later_question_is_told_the_subject_of_one_that_defines_nothing() -> None:
    topics = understand("Which lamps does the gateway have and what do they mean?").topics
    assert topics == ("Which lamps does the gateway have", "what do they mean (lamps gateway)")
    assert understand("Who signs the lease and how long is the notice?").topics[1] == "how long is the notice"


def test_without_documents_there_is_nothing_to_search() -> None:
    assert [todo.agent for todo in plan_for("What is a lease?", has_documents=False).todos] == ["writing"]


def test_only_offered_agents_are_used() -> None:
    plan = plan_for("Why is it slow?", agents=(("research", ""), ("author", "writes letters")))
    assert {todo.agent for todo in plan.todos} == {"research", "author"}


def test_agent_of_the_users_joins_when_the_question_names_it() -> None:
    plan = plan_for("Let the translator tell me how refunds work", agents=(*AGENTS, ("translator", "translates texts")))
    assert "translator" in {todo.agent for todo in plan.todos}
    assert "translator" not in {
        todo.agent for todo in plan_for("How do refunds work?", (*AGENTS, ("translator", ""))).todos
    }


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.booleans())
def test_any_question_gets_a_plan_of_one_to_five_and_a_title(question: str, has_documents: bool) -> None:
    assert 1 <= len(plan_for(question, has_documents=has_documents).todos) <= 5
    assert 1 <= len(titling.title(question)) <= titling.LONGEST


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is a post-hook?", "Post-hook"),
        ("How do I add a tool?", "How to add a tool"),
        ("Compare the stream hub and the executor", "Stream hub and executor, compared"),
        ("Which errors are retried and how is a limit handled?", "Which errors are retried"),
        ("Could you please explain how tokens are streamed?", "How tokens are streamed"),
        (
            "How does Headrace make sure no token is lost when a process dies?",
            "How does Headrace make sure no token is lost",
        ),
        (
            "List the obligations of tenants and owners under each of the leases we signed in March",
            "List the obligations of tenants and owners…",
        ),
        ("   ", titling.EMPTY),
    ],
)
def test_title_names_the_topic(question: str, title: str) -> None:
    assert titling.title(question) == title


@pytest.mark.parametrize(
    ("title", "topic"),
    [
        (tasks.search_title("leases"), "leases"),
        (tasks.search_title("slowness", reasons=True), "slowness"),
        ("Research the refund policy", "the refund policy"),
        ("Find information about leases", "leases"),
        (tasks.ORDER, "the question"),
        ("Search the documents", "the question"),
    ],
)
def test_topic_is_read_back_from_a_title(title: str, topic: str) -> None:
    assert tasks.topic_of(title, "the question") == topic


def test_a_side_of_a_comparison_is_known_by_what_the_others_are_not_called() -> None:
    asked = understand("Compare the Arnholm station and the Belvik station in terms of rent")
    assert [topic_query(f"{side} (rent)", asked).subject for side in asked.topics] == [("arnholm",), ("belvik",)]
    assert topic_query("Search it all", asked).subject == ()
    assert topic_query("What is a lease", understand("What is a lease? Who signs it?")).subject == ()
