"""``headrace migrate``: bring the tables of a log in PostgreSQL to this version, with a role that may make them."""

from __future__ import annotations

from rich.console import Console

from runtime.cli.progress import waiting
from runtime.cli.screens import stdout_line
from runtime.cli.store import postgres_schema, postgres_url
from runtime.config import Settings


def migrate(settings: Settings) -> int:
    """Migrate what the settings name and say what was done. Raises ``ConfigurationError``, ``StoreUnavailable``."""
    url = postgres_url(settings)
    with (
        postgres_schema() as schema,
        waiting(Console(stderr=True, highlight=False), f"migrating {settings.log_words()}"),
    ):
        done = schema.migrate(url)
    stdout_line(done)
    return 0
