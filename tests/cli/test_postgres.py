"""``headrace migrate`` and what ``headrace doctor`` says of a database. No password is ever said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runtime.cli.app import app
from runtime.cli.check import Check
from runtime.cli.store import examine_store
from runtime.config import load
from runtime.log.postgres_schema import SCHEMA_VERSION
from tests.fakes.postgres import PostgresServer, shared_server

runner = CliRunner()


@pytest.fixture
def url() -> str:
    """An empty database."""
    return shared_server().create_database()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """One whose settings may be changed."""
    server = PostgresServer(checksums=False)
    server.start()
    yield server
    server.remove()


def look(url: str) -> Check:
    return examine_store(load(log=url, model="offline"))


def with_password(url: str) -> str:
    return url.replace("tests@", "tests:hunter2@")


def test_migrate_makes_the_tables_and_may_be_repeated(url: str) -> None:
    first = runner.invoke(app, ["migrate", "--log", with_password(url)])
    assert first.exit_code == 0, first.output
    assert f"from nothing to version {SCHEMA_VERSION}" in first.stdout
    again = runner.invoke(app, ["migrate"], env={"HEADRACE_LOG": url})
    assert (again.exit_code, "already" in again.stdout) == (0, True)
    assert "hunter2" not in first.output + again.output


def test_keys_are_made_at_the_database_itself(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_URL", raising=False)
    where = ["--log", url, "--data", str(tmp_path)]
    made = runner.invoke(app, ["keys", "create", "--name", "ci", "--tenant", "acme", *where])
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("hr_")
    assert "acme" in runner.invoke(app, ["keys", *where]).stdout
    doctor = runner.invoke(app, ["doctor", "--model", "offline", *where], env={"HEADRACE_AUTH": "keys"})
    assert "keys: 1 of 1 are live" in doctor.stdout


def test_migrate_says_what_is_in_its_way() -> None:
    away = runner.invoke(app, ["migrate", "--log", "postgresql://tests:hunter2@127.0.0.1:1/postgres"])
    assert away.exit_code == 1
    assert "127.0.0.1:1/postgres" in away.stderr
    assert "trying again may help" in away.stderr
    missing = runner.invoke(app, ["migrate", "--log", with_password(shared_server().url_of("nothing"))])
    assert missing.exit_code == 2
    assert 'database "nothing" does not exist' in missing.stderr
    assert "hunter2" not in away.output + missing.output


def test_without_the_extra_both_say_what_to_install(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    for name in [name for name in sys.modules if name.startswith("runtime.log.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("runtime.log.postgres_schema", raising=False)
    told = runner.invoke(app, ["migrate", "--log", url])
    assert told.exit_code == 2
    assert 'pip install "headrace[postgres]"' in told.stderr
    assert look(url).mend == 'pip install "headrace[postgres]"'


def test_doctor_knows_a_database_before_and_after_its_migration(url: str) -> None:
    empty = look(with_password(url))
    assert (empty.status, "no tables yet" in empty.found, "headrace migrate" in empty.mend) == ("ok", True, True)
    runner.invoke(app, ["migrate", "--log", url])
    ready = look(with_password(url))
    assert (ready.status, ready.mend) == ("ok", "")
    assert f"tables of version {SCHEMA_VERSION}" in ready.found
    assert "hunter2" not in str([empty, ready])


def test_doctor_finds_a_role_that_may_not_make_tables_and_one_that_may_not_use_them(url: str) -> None:
    database = url.rpartition("/")[2]
    role = f"plain_{database}"
    shared_server().execute(f"CREATE ROLE {role} LOGIN")
    plain = shared_server().url_of(database, role)
    assert look(plain).status == "fail"
    assert "role that owns the database" in look(plain).mend
    runner.invoke(app, ["migrate", "--log", url])
    assert look(plain).status == "fail"
    assert "USAGE on schema headrace" in look(plain).found
    shared_server().execute(
        f"GRANT USAGE ON SCHEMA headrace TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA headrace TO {role}",
        f"REVOKE UPDATE ON headrace.ledger FROM {role}",
        database=database,
    )
    assert "may not use the tables ledger" in look(plain).found
    shared_server().execute(f"GRANT UPDATE ON headrace.ledger TO {role}", database=database)
    assert look(plain).status == "ok"


def test_doctor_finds_tables_of_a_newer_version(url: str) -> None:
    runner.invoke(app, ["migrate", "--log", url])
    shared_server().execute("UPDATE headrace.schema_version SET version_num = '9999'", database=url.rpartition("/")[2])
    assert look(url).status == "fail"
    assert "version 9999" in look(url).found


def test_doctor_finds_a_server_that_is_away_unsafe_or_without_checksums(own_server: PostgresServer) -> None:
    assert look("postgresql://tests:hunter2@127.0.0.1:1/postgres").status == "fail"
    assert "hunter2" not in str(look("postgresql://tests:hunter2@127.0.0.1:1/postgres"))
    runner.invoke(app, ["migrate", "--log", own_server.url])
    assert look(own_server.url).status == "warn"
    assert "without data checksums" in look(own_server.url).found
    own_server.restart("fast", synchronous_commit="off")
    unsafe = look(own_server.url)
    assert (unsafe.status, "synchronous_commit=off" in unsafe.found) == ("fail", True)


def test_doctor_says_how_a_store_is_written() -> None:
    assert look("mysql://host/db").mend == "write sqlite:PATH, postgresql://HOST/DATABASE or memory:"
    assert look("memory:").status == "warn"
