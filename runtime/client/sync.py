"""The synchronous client: the same methods, for programs without an event loop. It owns one, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, Self, TypeVar

from runtime.client.client import HeadraceClient
from runtime.client.events import RunEvent
from runtime.client.pages import EventPage
from runtime.client.view import RunView

_T = TypeVar("_T")


class HeadraceSyncClient:
    """One server. Use as ``with HeadraceSyncClient(url) as client``, from any thread.

    Every method is that of :class:`HeadraceClient` with the same name, arguments and errors; streams are iterators. One that
    is left early is closed with its iterator, or with the client. ``options`` are those of :class:`HeadraceClient`.
    """

    def __init__(self, base_url: str, *, api_key: str | None = None, **options: Any) -> None:
        """Any: the options of :class:`HeadraceClient`."""
        self._loop = asyncio.new_event_loop()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="headrace-client", daemon=True)
        self._thread.start()
        self._client = self._run(_made(base_url, api_key, options))
        self.base_url = self._client.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, and the thread; calls and streams in use end with ``RuntimeError``."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._wind_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def create(self, question: str, *, idempotency_key: str | None = None, **options: object) -> dict[str, Any]:
        """Start a run that goes on without readers; the answer has its ``run_id``."""
        return self._run(self._client.create(question, idempotency_key=idempotency_key, **options))

    def stream(self, question: str, *, idempotency_key: str | None = None, **options: object) -> Iterator[RunEvent]:
        """Start a run and read its events, live, to the end; a stream left early leaves the run to ``on_disconnect``."""
        return self._each(self._client.stream(question, idempotency_key=idempotency_key, **options))

    def ask(self, question: str, *, idempotency_key: str | None = None, **options: object) -> RunView:
        """Start a run, wait for its end, and give all of it."""
        return self._run(self._client.ask(question, idempotency_key=idempotency_key, **options))

    def follow(self, run_id: str, after: int | str = 0) -> Iterator[RunEvent]:
        """The run's events after that number or id, live, to the end."""
        return self._each(self._client.follow(run_id, after))

    def events(self, run_id: str, *, after: int | str = 0, limit: int = 1000) -> EventPage:
        """A page of what there is after that number or id, at once."""
        return self._run(self._client.events(run_id, after=after, limit=limit))

    def view(self, run_id: str) -> RunView:
        """All that the run's events say so far."""
        return self._run(self._client.view(run_id))

    def snapshot(self, run_id: str) -> dict[str, Any]:
        """The run's state now, tokens left out."""
        return self._run(self._client.snapshot(run_id))

    def runs(self, *, limit: int = 20) -> list[dict[str, Any]]:
        """The newest runs first."""
        return self._run(self._client.runs(limit=limit))

    def cancel(self, run_id: str) -> dict[str, Any]:
        """Ask for the run's end; what was completed stays."""
        return self._run(self._client.cancel(run_id))

    def resume(self, run_id: str, *, idempotency_key: str | None = None, **options: object) -> dict[str, Any]:
        """Go on from an ended run in a new one, which goes on without readers."""
        return self._run(self._client.resume(run_id, idempotency_key=idempotency_key, **options))

    def resume_stream(
        self, run_id: str, *, idempotency_key: str | None = None, **options: object
    ) -> Iterator[RunEvent]:
        """Resume, and read the new run's events."""
        return self._each(self._client.resume_stream(run_id, idempotency_key=idempotency_key, **options))

    def say(self, run_id: str, *, idempotency_key: str | None = None, **body: object) -> dict[str, Any]:
        """The fields of ``POST /v1/runs/{id}/input``, ``type`` first."""
        return self._run(self._client.say(run_id, idempotency_key=idempotency_key, **body))

    def approve(
        self,
        run_id: str,
        approval: str,
        arguments_hash: str,
        *,
        approved: bool = True,
        text: str = "",
        plan: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Say yes or no to exactly what ``approval.requested`` asked. Any: a plan is JSON."""
        answer = self._client.approve(run_id, approval, arguments_hash, approved=approved, text=text, plan=plan)
        return self._run(answer)

    def answer(self, run_id: str, approval: str, text: str) -> dict[str, Any]:
        """Answer a question."""
        return self._run(self._client.answer(run_id, approval, text))

    def message(self, run_id: str, text: str, *, stage: str | None = None) -> dict[str, Any]:
        """Tell the agents something: those of one step, or of every step from now on."""
        return self._run(self._client.message(run_id, text, stage=stage))

    def cancel_stage(self, run_id: str, stage: str, *, text: str = "") -> dict[str, Any]:
        """End one step; the run goes on."""
        return self._run(self._client.cancel_stage(run_id, stage, text=text))

    def conversations(self, *, limit: int = 20, before: str | None = None) -> dict[str, Any]:
        """A page of ``conversations``; its ``next_before`` is ``before`` of the next."""
        return self._run(self._client.conversations(limit=limit, before=before))

    def conversation(self, conversation_id: str, *, limit: int = 50, before: str | None = None) -> dict[str, Any]:
        """A conversation with its newest runs, in the order they were asked."""
        return self._run(self._client.conversation(conversation_id, limit=limit, before=before))

    def delete_conversation(self, conversation_id: str) -> None:
        """Delete it with all its runs and their text."""
        self._run(self._client.delete_conversation(conversation_id))

    def statistics(self, *, hours: int = 24) -> dict[str, Any]:
        """The report on the runs of the last ``hours``, 1 to 168."""
        return self._run(self._client.statistics(hours=hours))

    def agents(self) -> list[dict[str, Any]]:
        """The agents there are."""
        return self._run(self._client.agents())

    def tools(self) -> list[dict[str, Any]]:
        """The tools agents may call, as far as this key may see them."""
        return self._run(self._client.tools())

    def ready(self, *, timeout_s: float = 1.0) -> bool:
        """Whether a server that takes runs answers at this address."""
        return self._run(self._client.ready(timeout_s=timeout_s))

    def _run(self, call: Coroutine[Any, Any, _T]) -> _T:
        """Wait for a call in the thread of the loop; an interrupt while waiting cancels it. Any: what it sends is its own."""
        with self._closing:
            if self._closed:
                call.close()
                raise RuntimeError("the client is closed")
            future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the client was closed meanwhile") from None
        except BaseException:
            future.cancel()
            raise

    async def _wind_up(self) -> None:
        """End all that is under way."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.aclose()
        await self._loop.shutdown_asyncgens()

    def _each(self, events: AsyncGenerator[RunEvent, None]) -> Iterator[RunEvent]:
        try:
            while (event := self._run(_next(events))) is not None:
                yield event
        finally:
            if not self._closed:  # closing the client closes it too
                self._run(events.aclose())


async def _made(base_url: str, api_key: str | None, options: dict[str, Any]) -> HeadraceClient:
    """Made where it is used: in the loop."""
    return HeadraceClient(base_url, api_key=api_key, **options)


async def _next(events: AsyncGenerator[RunEvent, None]) -> RunEvent | None:
    """The next event; None at the end: a ``StopAsyncIteration`` cannot leave a future."""
    return await anext(events, None)
