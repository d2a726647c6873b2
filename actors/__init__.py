"""Thin shells: each lends one of ``runtime``'s objects a process on Ray, and carries its name.

``.remote(`` stands only in ``handles``, ``supervisor`` and, for isolated tools, ``tool_tasks``. Every shell answers ``ping`` in a
concurrency group of its own, so that a busy event loop still answers and a frozen process does not.
"""
