"""The one place that chooses concrete adapters, in modules small enough for a process to import only what it hosts.

``store`` (log, hub, publisher), ``models`` (clients and ladders), ``control`` (agents, orchestrator, executor), ``doors``,
and ``system``: the whole in one process without Ray, the same objects as in production joined by plain calls.
"""
