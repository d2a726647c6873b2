"""The client of a command: with the key that the environment, or ``--key``, gives."""

from __future__ import annotations

import os
from typing import Final

from runtime.client import HeadraceClient

KEY: Final = "HEADRACE_API_KEY"


def connect(url: str) -> HeadraceClient:
    """A client of the server at ``url``."""
    return HeadraceClient(url, api_key=os.environ.get(KEY) or None)
