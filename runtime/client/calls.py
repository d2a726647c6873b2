"""Plain calls to one server: a request, a JSON answer, our errors. What has an idempotency key is sent until it is answered."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import httpx2

from runtime.client.errors import ServerError, TryLater, Unreachable, refused
from runtime.client.reader import nothing_there
from runtime.client.reconnect import Reconnect
from runtime.clock import Clock
from runtime.errors import HeadraceError

CALL_TIMEOUT_S = 30.0
"""Longest silence of a plain call."""
API_KEY_VARIABLE = "HEADRACE_API_KEY"


def credentials(api_key: str | None) -> dict[str, str]:
    """The header with the key, else with that of the environment; nothing when there is none."""
    key = os.environ.get(API_KEY_VARIABLE) if api_key is None else api_key
    return {"Authorization": f"Bearer {key}"} if key else {}


class Calls:
    """Sends plain calls. Time and chance are given, so that tests have neither."""

    def __init__(
        self, http: httpx2.AsyncClient, base_url: str, reconnect: Reconnect, clock: Clock, jitter: Callable[[], float]
    ) -> None:
        self._http = http
        self._base_url = base_url
        self._reconnect = reconnect
        self._clock = clock
        self._jitter = jitter

    async def json(self, method: str, path: str, *, key: str | None = None, **options: Any) -> dict[str, Any]:
        """The answer's JSON object; Any: it is JSON, and the options are httpx2's own. Raises as :meth:`send` does."""
        headers = {"Accept": "application/json", **({"Idempotency-Key": key} if key else {})}
        send = self.send_until_answered if key else self.send
        answer: dict[str, Any] = (await send(method, path, headers=headers, **options)).json()
        return answer

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The answer when it is a success. Any: as above. Raises ``ApiError``, ``Unreachable``."""
        try:
            response = await self._http.request(method, path, timeout=CALL_TIMEOUT_S, **options)
        except httpx2.ConnectError as error:
            raise nothing_there(self._base_url) from error
        except httpx2.TransportError as error:
            raise Unreachable(f"{self._base_url} did not answer: {type(error).__name__} {error}") from error
        if not response.is_success:
            raise refused(response.status_code, response.headers, response.content)
        return response

    async def send_until_answered(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The same; a request whose answer was lost is sent again, which its key makes safe. Any: as above.

        Raises what :meth:`send` raises: at once what the caller can mend, and when nothing has ever answered.
        """
        failures = 0
        while True:
            try:
                return await self.send(method, path, **options)
            except HeadraceError as error:
                if not _lost(error, first=failures == 0):
                    raise
                failures += 1
                asked_s = error.retry_after if isinstance(error, TryLater) else None
                delay = self._reconnect.delay(failures, self._jitter(), asked_s)
                if delay is None:
                    raise
                await self._clock.sleep(delay)


def _lost(error: HeadraceError, *, first: bool) -> bool:
    """Whether the request may have been taken although its answer says nothing of it, or will be if it is sent again.

    A 503 stands for a store or a door that is away for a moment; a 5xx without a code is a proxy's, whose server died.
    429 is the caller's to decide about: it may last.
    """
    if isinstance(error, Unreachable):
        return not (first and isinstance(error.__cause__, httpx2.ConnectError))
    if isinstance(error, TryLater):
        return error.status == 503
    return isinstance(error, ServerError) and not error.refusal.code
