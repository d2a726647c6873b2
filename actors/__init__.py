"""Thin shells: each lends one of ``runtime``'s objects a process on Ray, and carries its name.

``.remote(`` stands only in ``handles`` and ``supervisor``. Every shell answers ``ping`` in a concurrency group of its own, so that a
busy event loop still answers and a frozen process does not.
"""
