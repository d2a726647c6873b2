"""The Python client: ask over HTTP, read a run's events live, and go on exactly where a broken connection left off.

Rules: ``sse``, ``cursor``, ``problems`` and ``reconnect`` never touch a socket; ``reader`` and ``client`` are the thin
shells around them. Types this version does not know are passed over, never an error.
"""

from runtime.client.client import HeadraceClient
from runtime.client.cursor import Received

__all__ = ["HeadraceClient", "Received"]
