"""Hooks, each made by a factory from the values it needs. Choose among them by import path:

HEADRACE_HOOKS='["examples.hooks:check_facts", "examples.hooks:side_by_side"]' headrace serve --documents docs"""

import re

from runtime.events.plan import Todo
from runtime.pipeline import hooks
from runtime.pipeline.hooks import Continue, Decision, Finished, Hook

NUMBER = re.compile(r"\d[\d.,]*\d|\d")
QUOTE = re.compile(r'["“]([^"“”\n]{4,})["”]')
MARKS_AND_SOURCES = re.compile(r"\[\d+\]|^Sources:.*", re.MULTILINE | re.DOTALL)


def fact_check(agent: str, tries: int = 2) -> Hook:
    """What ``agent`` says in numbers or in quotation marks must stand in what it cites; else it is tried again, then noted."""

    def check(done: Finished, decision: Decision) -> Decision:
        if done.todo.agent != agent or done.failure is not None or not isinstance(decision, Continue):
            return decision
        said = MARKS_AND_SOURCES.sub(" ", done.output)
        cited = " ".join(citation.quote for citation in done.citations)
        unproven = [quote for quote in QUOTE.findall(said) if quote not in cited]
        unproven += [number for number in NUMBER.findall(said) if number not in NUMBER.findall(cited)]
        if not unproven:
            return decision
        words = f"not in the cited sources: {', '.join(dict.fromkeys(unproven))}"
        return hooks.Retry(words) if done.tries < tries else Continue(f"{decision.context}\n\n(Unproven, {words})")

    return check


def translation(language: str) -> Hook:
    """When the plan's last todo is done, one more has the writing agent translate the answer."""

    def translate(done: Finished, decision: Decision) -> Decision:
        planned = any(todo.id == "translate" for todo in done.plan.todos)
        if planned or not done.last or done.failure or not isinstance(decision, Continue):
            return decision
        last = tuple(t.id for t in done.plan.todos if all(t.id not in other.depends_on for other in done.plan.todos))
        todo = Todo(id="translate", title=f"Translate the answer into {language}", agent="writing", depends_on=last)
        return hooks.Revise(f"the answer is wanted in {language}", (todo,), context=decision.context)

    return translate


def question_after(agent: str, question: str, options: tuple[str, ...] = ()) -> Hook:
    """After the last of ``agent``'s todos in the plan's order a person is asked; the answer goes to the stages behind it."""

    def ask(done: Finished, decision: Decision) -> Decision:
        last = [todo.id for todo in done.plan.todos if todo.agent == agent][-1:]
        if [done.todo.id] != last or not isinstance(decision, Continue):
            return decision
        said = "".join(f"\n\n{question} The person said: {answer.text}" for answer in done.answers[-1:])
        return Continue(decision.context + said) if said else hooks.Ask(question, options)

    return ask


def merge(heading: str) -> hooks.JoinHook:
    """Before a stage that builds on several others: one text of what each gave, failures included."""

    def words(branch: hooks.Branch) -> str:
        missing = branch.failure.message if branch.failure else branch.skipped
        return f"- {branch.todo.title}: {branch.context if missing is None else f'nothing, because {missing}'}"

    def join(joined: hooks.Joined, joining: hooks.Joining) -> hooks.Joining:
        if all(branch.failure is not None or branch.skipped is not None for branch in joined.branches):
            return hooks.LeaveOut("none of the steps before it gave a result")
        return hooks.Together("\n".join((heading, *map(words, joined.branches))))

    return hooks.joins(join)


check_facts = fact_check("research")
translate_to_german = translation("German")
ask_for_region = question_after("research", "Which region is this for?", ("Europe", "Asia"))
side_by_side = merge("What the steps before found, side by side:")
