"""The commands of ``headrace``: their options and help. What they do is imported when they are called.

Imports inside the functions are on purpose: ``headrace --help`` and shell completion answer in half a second only
because settings, HTTP and rich's live view are not loaded for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="headrace",
    help="A runtime for streaming agents: every token durable before it is seen.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help takes 0.3 s more to load than the help takes to read
)
models_app = typer.Typer(help="Weights for local models.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(models_app, name="models")
conversations_app = typer.Typer(
    help="List, show and delete conversations.", invoke_without_command=True, rich_markup_mode=None
)
app.add_typer(conversations_app, name="conversations")

keys_app = typer.Typer(
    help="List, make, revoke and rotate API keys.", invoke_without_command=True, rich_markup_mode=None
)
app.add_typer(keys_app, name="keys")


@app.callback()
def every_command(
    key: Annotated[
        str | None,
        typer.Option("--key", help="API key for the server. Better: HEADRACE_API_KEY, which others cannot see."),
    ] = None,
) -> None:
    """A runtime for streaming agents: every token durable before it is seen."""
    import os

    if key is not None:
        os.environ["HEADRACE_API_KEY"] = key


def _number(value: float | None) -> float | None:
    if value is not None and value != value:
        raise typer.BadParameter("nan is not a number")
    return value


ModelName = Literal["offline", "local", "anthropic", "scripted"]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="HEADRACE_URL", help="A server; if left out, http://127.0.0.1:8000."),
]
Model = Annotated[
    ModelName | None,
    typer.Option(help="What agents use. Left out: anthropic when ANTHROPIC_API_KEY is set, else offline."),
]
Data = Annotated[Path | None, typer.Option(help="Where runs, indexes and weights are kept. [default: .headrace]")]
Store = Annotated[
    str | None,
    typer.Option(
        "--log",
        help="Store: sqlite:PATH, postgresql://USER@HOST/DATABASE or memory:. [default: a file in the data folder]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
Plain = Annotated[bool, typer.Option("--plain", help="Lines instead of the live picture, also on a terminal.")]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget",
        metavar="USD",
        min=0.000001,
        max=1000,
        callback=_number,
        help="US dollars the run may spend on models.",
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Start the run, print its id, and leave.")]
AuthMode = Annotated[
    Literal["none", "keys", "jwt", "keys+jwt"] | None,
    typer.Option("--auth", help="Who is let in. none: whoever is on this machine. [default: none]"),
]
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as `headrace keys` shows it.")]
ConversationId = Annotated[str, typer.Argument(metavar="CONVERSATION", help="The conversation's id.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind. [default: 8000]")] = None,
    model: Model = None,
    script: Annotated[Path | None, typer.Option(help="For --model scripted: the script; else a built-in one.")] = None,
    gguf: Annotated[Path | None, typer.Option(help="For --model local: a model file all agents use.")] = None,
    docs: Annotated[Path | None, typer.Option(help="Folder searched by runs that name none.")] = None,
    data: Data = None,
    log: Store = None,
    auth: AuthMode = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="One process without Ray, for debugging.")] = False,
    module: Annotated[
        list[str] | None, typer.Option(help="Import path of a module with your agents, tools, hooks; repeatable.")
    ] = None,
) -> None:
    """Start the system and stay until Ctrl-C.

    Ctrl-C, or SIGTERM, stops everything it started within 10 s; the next start finds the old runs.
    """
    from runtime.cli import outcome
    from runtime.cli import serve as command
    from runtime.config import load

    with outcome.told():
        settings = load(
            host=host,
            port=port,
            model=model,
            script=script,
            gguf=gguf,
            documents=outcome.folder(docs),
            data_dir=data,
            log=log,
            auth=auth,
            modules=tuple(module) if module else None,
        )
        raise outcome.Leave(command.serve(settings, in_process=in_process))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    docs: Annotated[Path | None, typer.Option(help="Folder with the documents to answer from.")] = None,
    url: Url = None,
    model: Model = None,
    data: Data = None,
    json: Json = False,
    plain: Plain = False,
    detach: Detach = False,
    budget: Budget = None,
    conversation: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Ask on in this conversation; what was said in it is known."),
    ] = None,
    go_on: Annotated[bool, typer.Option("--continue", help="Ask on in the newest conversation.")] = False,
    attach: Annotated[
        list[Path] | None,
        typer.Option("--attach", metavar="FILE", help="A picture, a PDF or a text for the question; may be repeated."),
    ] = None,
    approve_plan: Annotated[
        bool, typer.Option("--approve-plan", help="Do nothing before the plan is approved with `headrace approve`.")
    ] = False,
) -> None:
    """Ask a question and watch the answer arrive.

    Plan, guardrail verdict, stages, tool calls and text are shown as they happen.

    Asks the server at --url, else the one on this machine, else a private one in this process. Exit code: 0 completed
    (also when the guardrail stopped it: the verdict is then the result), 1 failed, 2 misused, 3 cancelled, 130 Ctrl-C.
    """
    import asyncio

    from runtime.cli import outcome
    from runtime.cli.ask import Asked, Look
    from runtime.cli.ask import ask as command

    look = Look(json=json, plain=plain)
    with outcome.told():
        asked = Asked(question, docs, budget, conversation, go_on, tuple(attach or ()), approve_plan)
        work = command(asked, url=url, model=model, data=data, look=look, detach=detach)
        raise outcome.Leave(asyncio.run(work))


@app.command()
def resume(
    run: RunId,
    from_stage: Annotated[
        str | None,
        typer.Option("--from", metavar="STAGE", help="Run this step, and what builds on it, again."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A plan as JSON in place of the run's; unchanged steps keep their results."),
    ] = None,
    budget: Budget = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=1,
            max=86_400,
            callback=_number,
            help="How long the new run may take. [default: as before]",
        ),
    ] = None,
    url: Url = None,
    model: Model = None,
    data: Data = None,
    json: Json = False,
    plain: Plain = False,
    detach: Detach = False,
) -> None:
    """Go on from an ended run, in a new one.

    What was completed is carried over and not done again. A finished run needs --from or --plan.

    Looks for the run where `headrace ask` would ask; exit codes are the same.
    """
    import asyncio

    from runtime.cli import outcome
    from runtime.cli.ask import Look
    from runtime.cli.ask import resume as command
    from runtime.cli.wishes import Wishes, read_plan

    look = Look(json=json, plain=plain)
    with outcome.told():
        wishes = Wishes(from_stage=from_stage, plan=read_plan(plan), budget_usd=budget, deadline_s=deadline)
        work = command(run, wishes, url=url, model=model, data=data, look=look, detach=detach)
        raise outcome.Leave(asyncio.run(work))


@app.command()
def tail(
    run: RunId,
    url: Url = None,
    after: Annotated[int, typer.Option(min=0, help="Leave out the events up to this number.")] = 0,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Show a run from its start, then live.

    The run is read from its log, and live when it is not over. Ctrl-C leaves the run alone.
    """
    import asyncio

    from runtime.cli import outcome
    from runtime.cli.ask import Look
    from runtime.cli.ask import tail as command
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        work = command(run, url=url or DEFAULT_URL, after=after, look=Look(json=json, plain=plain))
        raise outcome.Leave(asyncio.run(work))


@app.command()
def agents(url: Url = None, json: Json = False) -> None:
    """List the agents, with their tools and models."""
    import asyncio

    from runtime.cli import directory, outcome
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        raise outcome.Leave(asyncio.run(directory.agents(url=url or DEFAULT_URL, json=json)))


@app.command()
def tools(url: Url = None, json: Json = False) -> None:
    """List the tools that agents may call."""
    import asyncio

    from runtime.cli import directory, outcome
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        raise outcome.Leave(asyncio.run(directory.tools(url=url or DEFAULT_URL, json=json)))


@app.command()
def runs(
    url: Url = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, newest first.")] = 20,
    json: Json = False,
) -> None:
    """List the newest runs."""
    import asyncio

    from runtime.cli import outcome
    from runtime.cli import runs as command
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        raise outcome.Leave(asyncio.run(command.runs(url=url or DEFAULT_URL, limit=limit, json=json)))


@app.command()
def stats(
    url: Url = None,
    hours: Annotated[int, typer.Option(min=1, max=168, help="How far to look back.")] = 24,
    data: Annotated[
        Path | None, typer.Option(help="Data directory of a running server: ask it as its operator, of all tenants.")
    ] = None,
    json: Json = False,
) -> None:
    """Show how the runs went: outcomes, durations, recovery, errors, tools, tokens and cost."""
    import asyncio

    from runtime.cli import outcome
    from runtime.cli import statistics as command
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        raise outcome.Leave(asyncio.run(command.stats(url=url or DEFAULT_URL, hours=hours, data=data, json=json)))


@conversations_app.callback()
def conversations(
    context: typer.Context,
    url: Url = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, newest first.")] = 20,
    json: Json = False,
) -> None:
    """List the newest conversations; show or delete one."""
    import asyncio

    from runtime.cli import conversations as command
    from runtime.cli import outcome
    from runtime.cli.system import DEFAULT_URL

    if context.invoked_subcommand is None:
        with outcome.told():
            raise outcome.Leave(asyncio.run(command.conversations(url=url or DEFAULT_URL, limit=limit, json=json)))


@conversations_app.command("show")
def show_conversation(conversation: ConversationId, url: Url = None, json: Json = False) -> None:
    """Show what was asked and answered."""
    import asyncio

    from runtime.cli import conversations as command
    from runtime.cli import outcome
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        raise outcome.Leave(asyncio.run(command.show(conversation, url=url or DEFAULT_URL, json=json)))


@conversations_app.command("delete")
def delete_conversation(conversation: ConversationId, url: Url = None) -> None:
    """Delete a conversation with all its runs and their text, for good."""
    import asyncio

    from runtime.cli import conversations as command
    from runtime.cli import outcome
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        raise outcome.Leave(asyncio.run(command.delete(conversation, url=url or DEFAULT_URL)))


@keys_app.callback()
def keys(context: typer.Context, url: Url = None, data: Data = None, log: Store = None, json: Json = False) -> None:
    """List the API keys; make, revoke or rotate one.

    Asks the server that runs over the data directory, else the store itself. With --url any server, as an administrator.
    """
    import asyncio

    from runtime.cli import keys as command
    from runtime.cli import outcome
    from runtime.config import load

    if context.invoked_subcommand is None:
        with outcome.told():
            raise outcome.Leave(asyncio.run(command.listed(load(data_dir=data, log=log), url=url, json=json)))


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What to call it; what is done with it is told under this name.")],
    tenant: Annotated[str | None, typer.Option(help="Whose it is. [default: default]")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may do: runs:read, runs:write, runs:cancel, admin; repeatable. [default: all runs:]"
        ),
    ] = None,
    role: Annotated[list[str] | None, typer.Option(help="Which tools' calls it is shown; repeatable.")] = None,
    days: Annotated[
        float | None, typer.Option(min=0.0001, callback=_number, help="How long it lasts. [default: for ever]")
    ] = None,
    url: Url = None,
    data: Data = None,
    log: Store = None,
    json: Json = False,
) -> None:
    """Make a key and print it. It is shown this once."""
    import asyncio

    from runtime.cli import keys as command
    from runtime.cli import outcome
    from runtime.config import load

    with outcome.told():
        body = {
            "name": name,
            "tenant_id": tenant,
            "scopes": scope or None,
            "roles": role or None,
            "expires_in_s": None if days is None else days * 86400,
        }
        raise outcome.Leave(asyncio.run(command.create(load(data_dir=data, log=log), body, url=url, json=json)))


@keys_app.command("revoke")
def revoke_key(key: KeyId, url: Url = None, data: Data = None, log: Store = None) -> None:
    """End a key: refused within 5 seconds, its open streams ended within a minute."""
    import asyncio

    from runtime.cli import keys as command
    from runtime.cli import outcome
    from runtime.config import load

    with outcome.told():
        raise outcome.Leave(asyncio.run(command.revoke(load(data_dir=data, log=log), key, url=url)))


@keys_app.command("rotate")
def rotate_key(
    key: KeyId,
    keep_hours: Annotated[
        float, typer.Option(min=0, max=720, callback=_number, help="How long the old one lasts.")
    ] = 24,
    url: Url = None,
    data: Data = None,
    log: Store = None,
    json: Json = False,
) -> None:
    """Make a key like that one and print it; the old one ends after a while."""
    import asyncio

    from runtime.cli import keys as command
    from runtime.cli import outcome
    from runtime.config import load

    with outcome.told():
        settings = load(data_dir=data, log=log)
        work = command.rotate(settings, key, keep_s=keep_hours * 3600, url=url, json=json)
        raise outcome.Leave(asyncio.run(work))


@app.command()
def cancel(
    run: RunId,
    stage: Annotated[str | None, typer.Option(help="End only this step; the run goes on.")] = None,
    url: Url = None,
) -> None:
    """Cancel a run, or one step of it; what was completed stays."""
    import asyncio

    from runtime.cli import outcome, people
    from runtime.cli import runs as command
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        at = url or DEFAULT_URL
        work = command.cancel(run, url=at) if stage is None else people.cancel_stage(run, stage, url=at)
        raise outcome.Leave(asyncio.run(work))


ApprovalName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Which question, if the run asks several.")]


@app.command()
def approve(
    run: RunId,
    approval: ApprovalName = None,
    refuse: Annotated[str | None, typer.Option(metavar="WHY", help="Say no, and why.")] = None,
    url: Url = None,
) -> None:
    """Agree to the plan or the tool call that a run asks about, or refuse it."""
    import asyncio

    from runtime.cli import outcome, people
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        work = people.approve(run, approval, refuse=refuse, url=url or DEFAULT_URL)
        raise outcome.Leave(asyncio.run(work))


@app.command()
def answer(
    run: RunId,
    text: Annotated[str, typer.Argument(help="The answer.")],
    approval: ApprovalName = None,
    url: Url = None,
) -> None:
    """Answer a question that a run asks."""
    import asyncio

    from runtime.cli import outcome, people
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        raise outcome.Leave(asyncio.run(people.answer(run, text, approval, url=url or DEFAULT_URL)))


@app.command()
def say(
    run: RunId,
    text: Annotated[str, typer.Argument(help="What the agents should know.")],
    stage: Annotated[str | None, typer.Option(help="Only for this step.")] = None,
    url: Url = None,
) -> None:
    """Tell the agents of a run something; they hear it with their next turn."""
    import asyncio

    from runtime.cli import outcome, people
    from runtime.cli.system import DEFAULT_URL

    with outcome.told():
        raise outcome.Leave(asyncio.run(people.say(run, text, stage, url=url or DEFAULT_URL)))


@app.command()
def doctor(model: Model = None, data: Data = None, log: Store = None, json: Json = False) -> None:
    """Check this machine and say how to mend it.

    Looks at Python, packages, Ray, memory, port, data directory, store and key, and probes the model.
    """
    from runtime.cli import doctor as command
    from runtime.cli import outcome
    from runtime.config import load

    with outcome.told():
        raise outcome.Leave(command.doctor(load(model=model, data_dir=data, log=log), json=json))


@app.command()
def migrate(log: Store = None) -> None:
    """Make or update the tables of a log in PostgreSQL.

    `headrace serve` does it too at its start, if its role may. This is for a role that may make tables, so that the
    server's needs no such right. Safe to repeat. Put the password in PGPASSWORD or ~/.pgpass.
    """
    from runtime.cli import migrate as command
    from runtime.cli import outcome
    from runtime.config import load

    with outcome.told():
        raise outcome.Leave(command.migrate(load(log=log)))


@models_app.command("fetch")
def fetch(name: Annotated[str, typer.Argument(help="The model: smollm2.")], data: Data = None) -> None:
    """Fetch a model's weights into the data directory (smollm2: 93 MB, Apache-2.0)."""
    from runtime.cli import outcome, stock
    from runtime.cli.screens import stdout_line

    with outcome.told():
        stdout_line(str(stock.fetch(name, data)))


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The documents: text, Markdown, HTML, PDF.")],
    data: Data = None,
) -> None:
    """Build or refresh a folder's search index.

    Asking does it too; this does it ahead of time.
    """
    from runtime.cli import outcome, stock

    with outcome.told():
        raise outcome.Leave(stock.index(folder, data))


@app.command()
def version() -> None:
    """Print the version."""
    from runtime import __version__

    typer.echo(f"headrace {__version__}")
