"""schemathesis as a person runs it, from the command line, against a server that is up."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.server import World

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
    "valid_data_acceptance",
)
"""Those of SECURITY.md 1; ``max_response_time`` is an option of its own, ``positive_data_acceptance`` is in ``schemathesis_hooks``."""
SLOWEST_S = 10
"""On a machine with two cores and other work."""

REJECTED = [400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 422, 429, 431, 503]
"""What input that breaks the schema may get; the sizes among them, since it may be of any."""
ACCEPTED = ["2xx", 401, 403, 404, 409, 413, 414, 429, 431, 503]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Report:
    """How it went: ``failed`` with the report's words."""

    cases: int
    failed: bool
    words: str


async def fuzz(
    world: World, folder: Path, *, examples: int, seed: int, headers: tuple[str, ...] = (), whole: bool = True
) -> Report:
    """All phases over all operations of the description; ``headers`` (``Name: value``) say who asks.

    Not ``whole``: without the coverage phase of the protocols' operations, whose bodies have thousands of corners.
    """
    config = folder / "schemathesis.toml"
    config.write_text(_config(world, whole))
    command = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(config), "run"]
    options = {
        "--phases": "examples,coverage,fuzzing,stateful",
        "--checks": ",".join(CHECKS),
        "--max-response-time": str(SLOWEST_S),
        "--request-timeout": str(2 * SLOWEST_S),
        "--max-examples": str(examples),
        "--seed": str(seed),
        "--workers": "1",  # with more, hypothesis trips over python/cpython#106905
    }
    arguments = [word for pair in options.items() for word in pair] + [
        "--continue-on-failure",
        "--no-color",
        "--no-shrink",
    ]
    arguments += [word for header in headers for word in ("--header", header)]
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        f"http://127.0.0.1:{world.port}/openapi.json",
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.hostile.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    words = output.decode(errors="replace")
    generated = re.search(r"([0-9,]+) generated", words)
    return Report(int(generated[1].replace(",", "")) if generated else 0, process.returncode != 0, words)


def _config(world: World, whole: bool) -> str:
    """Ids that are there, for two of three requests: else most would be asked about nothing."""
    return f"""
[dictionaries.runs]
values = ["{world.ended}", "{world.waiting}"]
[dictionaries.conversations]
values = ["{world.conversation}", "{world.busy}"]
[parameters]
"path.run_id" = {{ dictionary = "runs", probability = 0.66 }}
"path.conversation_id" = {{ dictionary = "conversations", probability = 0.5 }}
[checks.negative_data_rejection]
expected-statuses = {REJECTED}
[checks.positive_data_acceptance]
expected-statuses = {ACCEPTED}
[[operations]]
include-path-regex = "^/v1/(ag-ui|ai-sdk)"
phases.coverage.enabled = {str(whole).lower()}
"""
