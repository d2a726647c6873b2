"""The Messages API, through the official SDK: Anthropic's own server, or any that speaks it.

The SDK makes the request, signs it and reads refusals. Its retries are off, because the agent loop is the one retry
authority, and its stream is taken as raw bytes, because building its event objects costs 0.1 to 0.3 ms a token; the
bytes are decoded by :mod:`runtime.llm.sse_decode` and folded by :mod:`runtime.llm.accumulate` in 0.005 ms, and a test
holds the result to the SDK's own. Only this module imports ``anthropic``.

Leaving the stream in any way, by its end, ``aclose``, cancellation or an error, closes the connection at once; only a
stream read to its very end gives the connection back for the next turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import string
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import anthropic
import httpx2

from runtime.clock import Clock
from runtime.errors import (
    ConfigurationError,
    ModelError,
    ModelProtocolError,
    ModelStreamBroken,
    ModelTimeout,
    ModelUnreachable,
)
from runtime.llm import classify
from runtime.llm.accumulate import Accumulator
from runtime.llm.client import Chunk, ModelRequest
from runtime.llm.deadlines import Deadlines, Limits
from runtime.llm.pricing import LIST_PRICES, PriceTable
from runtime.llm.request import render
from runtime.llm.sse_decode import SseDecoder
from runtime.telemetry import Counts, logger

_log = logger("llm")

DEFAULT_BASE_URL = "https://api.anthropic.com"
PLACEHOLDER_KEY = "none"
"""Sent to a server of one's own when there is no key: local servers need none, but the SDK insists on a header."""
COUNT_S = 5.0
"""For the answer to how many tokens a request has; a turn waits for it."""
_COUNTED = frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"})
"""What a request to count may hold."""
DRAIN_S = 0.25
"""How long the end of the body is waited for after ``message_stop``; then the connection is not worth keeping."""


class AnthropicClient:
    """A :class:`runtime.llm.client.ModelClient` of the Messages API.

    ``base_url`` empty means Anthropic's own. Raises :class:`ConfigurationError` when key or address cannot be used.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str,
        clock: Clock,
        connect_timeout_s: float = 5.0,
        first_content_timeout_s: float = 60.0,
        progress_timeout_s: float = 30.0,
        turn_timeout_s: float = 600.0,
        prices: PriceTable = LIST_PRICES,
    ) -> None:
        self._key = _usable_key(api_key, base_url)
        self._url = _usable_url(base_url)
        self._where = _shown(self._url)
        self._clock = clock
        self._prices = prices
        self._connect_timeout_s = connect_timeout_s
        self._limits = Limits(first_content_timeout_s, progress_timeout_s, turn_timeout_s)
        self.counts = Counts()
        """What servers sent that is not known here, by kind."""
        self._sdk = anthropic.AsyncAnthropic(
            api_key=self._key,
            base_url=self._url,
            max_retries=0,
            timeout=(timeout := httpx2.Timeout(None, connect=connect_timeout_s)),
            http_client=anthropic.DefaultAsyncHttpxClient(verify=_tls(), timeout=timeout),
        )
        # Looked up here because the first look imports 0.2 s of SDK: better at start than in the midst of a run.
        self._create = self._sdk.messages.with_streaming_response.create

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Make one turn; see :class:`runtime.llm.client.ModelClient`."""
        arguments = render(request, anthropic.transform_schema)
        deadlines = Deadlines(self._limits, self._clock)
        folded = Accumulator(request.model, self.counts, self._prices)
        decoder = SseDecoder()
        with self._translated(request.model):
            async with contextlib.AsyncExitStack() as stack:
                opening = self._create(**arguments, stream=True)
                response = await deadlines.wait(stack.enter_async_context(opening))
                _expect_events(response.headers)
                body = response.iter_bytes()
                while not folded.stopped and (piece := await deadlines.wait(anext(body, None))) is not None:
                    contents = folded.contents
                    for event in decoder.feed(piece):
                        if (chunk := folded.feed(event)) is not None:
                            yield chunk
                        if folded.stopped:
                            break
                    if folded.contents > contents:
                        deadlines.progressed(thinks=folded.thinks)
                yield folded.completed()
                await _drain(body)

    async def count(self, request: ModelRequest) -> int | None:
        """Ask the provider; None when it does not count, or not now: counting is never what a turn fails by."""
        arguments = {k: v for k, v in render(request, anthropic.transform_schema).items() if k in _COUNTED}
        try:
            async with asyncio.timeout(COUNT_S):
                return (await self._sdk.messages.count_tokens(**arguments)).input_tokens
        except (anthropic.AnthropicError, httpx2.RequestError, TimeoutError, ValueError) as error:
            # ValueError: what the SDK makes of an answer that is no JSON. Only its kind is told: words may repeat the key.
            self.counts.add("llm.not_counted")
            _log.info("%s does not count tokens: %s", self._where, type(error).__name__)
            return None

    async def aclose(self) -> None:
        """Close every connection; turns in progress break."""
        await self._sdk.close()

    @contextlib.contextmanager
    def _translated(self, model: str) -> Iterator[None]:
        try:
            yield
        except anthropic.APIStatusError as error:
            raise self._refused(error, model) from self._harmless(error)
        except anthropic.APIConnectionError as error:
            raise self._not_connected(error.__cause__) from error
        except httpx2.RequestError as error:
            # Not an anthropic error: the transport's own comes through once the body is being read (JOURNAL.md 4.1).
            raise self._broken(error) from error
        except ModelError as error:
            if (words := self._without_key(error.message)) != error.message:
                raise type(error)(words, error.retry_after_s, error.unbilled) from None
            raise

    def _refused(self, error: anthropic.APIStatusError, model: str) -> ModelError:
        detail = self._without_key(error.api_message or "")
        if error.status_code == 404:
            detail = f"no model {model!r} at {self._where}, or no Messages API there. {detail}"
        headers = {name.lower(): value for name, value in error.response.headers.items()}
        return classify.by_status(error.status_code, detail, headers, self._clock.now())

    def _not_connected(self, cause: BaseException | None) -> ModelError:
        if isinstance(cause, httpx2.TimeoutException):
            words = f"no connection to the model at {self._where} within {self._connect_timeout_s:g} s"
            return ModelTimeout(words, None, isinstance(cause, httpx2.ConnectTimeout))
        if isinstance(cause, httpx2.ReadError | httpx2.WriteError | httpx2.RemoteProtocolError):
            return self._broken(cause)
        reason = self._without_key(str(cause or "no reason given"))
        words = f"nothing answers at {self._where} ({reason}); start the server there, or correct ANTHROPIC_BASE_URL"
        return ModelUnreachable(words, None, isinstance(cause, httpx2.ConnectError))

    def _broken(self, cause: BaseException) -> ModelError:
        reason = self._without_key(str(cause)) or type(cause).__name__
        return ModelStreamBroken(f"the connection to the model at {self._where} broke off: {reason}")

    def _harmless(self, cause: Exception) -> Exception | None:
        # A traceback prints its causes: one that repeats the key is not attached.
        return cause if self._without_key(str(cause)) == str(cause) else None

    def _without_key(self, words: str) -> str:
        # Some proxies repeat the key they were given; with the placeholder there is nothing to hide.
        return words if self._key == PLACEHOLDER_KEY else words.replace(self._key, "***")


@functools.cache
def _tls() -> ssl.SSLContext:
    # 30 ms to load the authorities, for each client and each proxy of the environment: once is enough.
    return httpx2.create_ssl_context()


def _expect_events(headers: httpx2.Headers) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/event-stream":
        raise ModelProtocolError(f"the model's provider answered with {kind[:60] or 'no type'!r} instead of a stream")


async def _drain(body: AsyncIterator[bytes]) -> None:
    with contextlib.suppress(TimeoutError, httpx2.RequestError):
        # The message is whole: whatever goes wrong now costs a connection, nothing else.
        async with asyncio.timeout(DRAIN_S):
            async for _ in body:
                pass


def _usable_key(api_key: str, base_url: str) -> str:
    key = api_key.strip() or (PLACEHOLDER_KEY if base_url else "")
    if not key:
        raise ConfigurationError("model 'anthropic' needs a key: set ANTHROPIC_API_KEY, or choose --model offline")
    if not set(key) <= _HEADER_CHARACTERS:
        raise ConfigurationError("ANTHROPIC_API_KEY holds characters no key has (a line break?); copy it again")
    return key


_HEADER_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation)


def _usable_url(base_url: str) -> str:
    text = base_url.strip() or DEFAULT_BASE_URL
    shown = text.rpartition("@")[2]  # a password may stand before it
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"ANTHROPIC_BASE_URL {shown!r} is not an address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(
            f"ANTHROPIC_BASE_URL {shown!r} is not an address; it looks like http://127.0.0.1:11434"
        )
    return text


def _shown(url: str) -> str:
    # User and password may stand in an address; they are not shown.
    shown = httpx2.URL(url).copy_with(userinfo=None, query=None)
    return str(shown).rstrip("/")
