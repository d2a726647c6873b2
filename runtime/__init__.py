"""Headrace: a runtime for streaming agents in production.

This package is the whole system without Ray. ``actors/`` lends its objects processes; ``serve_app.py`` opens the door.
Import rules are written in ``.importlinter``: generator -> executor -> orchestrator, pipeline -> agents ->
llm, tools, stream, recovery, log -> events -> errors, ids, clock, telemetry.
"""

__version__ = "0.1.0"
