"""What Ray Serve's proxy is given at its start: our connections, and our front.

Serve calls ``front`` in each proxy's process before it makes its server, by the name in ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``
(``environment.DEFAULTS``), and puts the middlewares it gives around the proxy. Serve has no setting for uvicorn's protocol class, so
it is put into uvicorn's own table of them, under the name that Serve's server asks for. Pinned with Ray (docs/adr/0003); a test on
a real cluster shows that it is in effect.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from uvicorn.config import HTTP_PROTOCOLS

from runtime.generator.connection import Connection
from runtime.generator.front import Front
from runtime.ids import new_id


def front() -> list[Middleware]:
    """Make uvicorn use ``Connection`` in this process; the middlewares for the proxy."""
    HTTP_PROTOCOLS["auto"] = f"{Connection.__module__}:{Connection.__qualname__}"
    return [Middleware(Front, new_id=new_id)]
