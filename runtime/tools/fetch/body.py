"""The body of an answer: read as it comes, unpacked by ourselves, and no more than is allowed of either.

The HTTP library would unpack a whole chunk at once: 64 KiB of a gzip bomb are 64 MiB. Here the unpacking stops at the limit.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx2

from runtime.tools.fetch.target import FetchRefused

MAX_BYTES = 2 * 1024 * 1024
"""Of a page, unpacked."""
ACCEPT_ENCODING = "gzip, deflate"


async def read_body(response: httpx2.Response, most: int = MAX_BYTES) -> bytes:
    """The unpacked body. Raises :class:`FetchRefused` (``too_large``, ``encoding_not_supported``, ``broken``)."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return await _gathered(response.aiter_raw(), most)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise FetchRefused(
            "encoding_not_supported", f"the page is packed as {encoding[:40]!r}, which was not asked for"
        )
    try:
        return await _gathered(_unpacked(response.aiter_raw(), most), most)
    except zlib.error as error:
        raise FetchRefused("broken", "the packed page is damaged") from error


async def _gathered(chunks: AsyncGenerator[bytes, None], most: int) -> bytes:
    body = bytearray()
    async with aclosing(chunks):
        async for chunk in chunks:
            body += chunk
            if len(body) > most:
                raise FetchRefused("too_large", f"the page is larger than {most:,} bytes")
    return bytes(body)


async def _unpacked(raw: AsyncGenerator[bytes, None], most: int) -> AsyncGenerator[bytes, None]:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
    taken = 0
    async with aclosing(raw):
        async for chunk in raw:
            taken += len(chunk)
            if taken > most:  # data that unpacks to nothing is endless too
                raise FetchRefused("too_large", f"the packed page is larger than {most:,} bytes")
            while chunk:
                yield unpacker.decompress(chunk, max_length=64 * 1024)
                chunk = unpacker.unconsumed_tail
    yield unpacker.flush()
    if not unpacker.eof:
        raise FetchRefused("broken", "the packed page ends too early")
