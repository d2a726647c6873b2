"""Every way a page, its server or its name can be hostile ends in a refusal with a code; what is good is fetched.

Real sockets on loopback: the resolver, the check that lets loopback pass, the port and the certificates are given to each
fetcher; nothing is switched off for all.
"""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import ssl
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.tools.fetch.addresses import IPAddress, is_public
from runtime.tools.fetch.fetcher import Fetched, Fetcher
from runtime.tools.fetch.target import FetchRefused
from tests.fakes.certificates import server_tls
from tests.fakes.hostile_site import HostileSite, Page, answers, drips, endless, hostile_site, moved, raw

LOOPBACK = ipaddress.ip_address("127.0.0.1")
NAME = "site.test"
PAGE = answers(b"<p>hello</p>")


def only_loopback(address: IPAddress) -> bool:
    """The check of these tests: public addresses, and the test's own server."""
    return address == LOOPBACK or is_public(address)


async def to_loopback(host: str, port: int) -> Sequence[IPAddress]:
    return [LOOPBACK]


async def fetch(
    pages: dict[str, Page],
    *,
    path: str = "/",
    hosts: Collection[str] = (NAME,),
    server: ssl.SSLContext | None = None,
    scheme: str = "http",
    inspect: Callable[[HostileSite], None] = lambda site: None,
    **fetcher: Any,
) -> Fetched:
    async with hostile_site(pages, server) as site:
        parts = {"resolver": to_loopback, "allowed": only_loopback, "ports": {site.port}, "deadline_s": 5.0, **fetcher}
        try:
            return await Fetcher(**parts).fetch(f"{scheme}://{NAME}:{site.port}{path}", hosts)
        finally:
            inspect(site)


async def refused(pages: dict[str, Page], **more: Any) -> str:
    with pytest.raises(FetchRefused) as caught:
        await fetch(pages, **more)
    assert caught.value.words
    return caught.value.code


# --- what is good ----------------------------------------------------------------------------------------------------


async def test_page_is_fetched_by_the_name_from_the_address() -> None:
    asked: list[Any] = []
    found = await fetch({"/a?b=c": PAGE}, path="/a?b=c#part", inspect=lambda site: asked.extend(site.asked))
    assert (found.body, found.content_type) == (b"<p>hello</p>", "text/html")
    assert found.url.endswith("/a?b=c")
    [(_, headers)] = asked
    assert headers["host"].startswith(f"{NAME}:")
    assert headers["user-agent"].startswith("headrace/")


async def test_page_over_tls_proves_its_name_not_its_address(tmp_path: Path) -> None:
    server, tls = server_tls(NAME, tmp_path)
    found = await fetch({"/": PAGE}, scheme="https", server=server, tls=tls)
    assert found.body == b"<p>hello</p>"


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_packed_page_is_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    page = answers(pack(b"x" * 200_000), "text/plain", more=f"Content-Encoding: {encoding}\r\n")
    assert (await fetch({"/": page})).body == b"x" * 200_000


async def test_three_redirects_are_followed_and_take_nothing_along() -> None:
    asked: list[Any] = []
    pages = {
        "/": moved("/1", more="Set-Cookie: secret=1\r\n"),
        "/1": moved("2", "307 Temporary Redirect"),
        "/2": moved("/3", "301 Moved"),
        "/3": PAGE,
    }
    found = await fetch(pages, inspect=lambda site: asked.extend(site.asked))
    assert found.url.endswith("/3")
    assert [path for path, _ in asked] == ["/", "/1", "/2", "/3"]
    assert not any({"cookie", "authorization", "referer"} & headers.keys() for _, headers in asked)


async def test_next_address_is_tried_when_nothing_listens_at_the_first() -> None:
    async def two(host: str, port: int) -> Sequence[IPAddress]:
        return [ipaddress.ip_address("127.0.0.2"), LOOPBACK]

    found = await fetch({"/": PAGE}, resolver=two, allowed=lambda address: address.is_loopback)
    assert found.body


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await fetch({"/": PAGE})).body


# --- redirects -------------------------------------------------------------------------------------------------------


async def test_redirect_loop_ends() -> None:
    asked: list[Any] = []
    code = await refused({"/": moved("/")}, inspect=lambda site: asked.extend(site.asked))
    assert code == "too_many_redirects"
    assert len(asked) == 4


async def test_ten_hops_are_too_many() -> None:
    pages = {"/": moved("/1"), **{f"/{n}": moved(f"/{n + 1}") for n in range(1, 10)}, "/10": PAGE}
    assert await refused(pages) == "too_many_redirects"


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "invalid_url"),  # port 80 is not among this test's
        ("http://169.254.169.254:{port}/latest/meta-data/", "address_not_allowed"),
        ("http://[::ffff:169.254.169.254]:{port}/", "address_not_allowed"),
        ("file:///etc/passwd", "invalid_url"),
        ("gopher://site.test/", "invalid_url"),
        ("http://user@site.test:{port}/", "invalid_url"),
        ("//site.test:22/", "invalid_url"),
        ("/a b", "invalid_url"),
    ],
)
async def test_redirect_is_checked_as_if_it_had_been_asked_for(location: str, code: str) -> None:
    async def elsewhere(writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        await moved(location.format(port=port))(writer)

    assert await refused({"/": elsewhere}, hosts=("*",)) == code


async def test_redirect_to_a_host_that_is_not_listed_is_refused() -> None:
    async def elsewhere(writer: asyncio.StreamWriter) -> None:
        await moved(f"http://other.test:{writer.get_extra_info('sockname')[1]}/")(writer)

    assert await refused({"/": elsewhere}) == "host_not_allowed"


# --- names and addresses ---------------------------------------------------------------------------------------------


class Flipping:
    """A name server that says something harmless first, and loopback from then on."""

    def __init__(self, *answers: str) -> None:
        self.answers = [ipaddress.ip_address(answer) for answer in answers]
        self.looked = 0

    async def __call__(self, host: str, port: int) -> Sequence[IPAddress]:
        self.looked += 1
        return [self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]]


async def test_name_that_flips_after_the_check_is_not_looked_up_again() -> None:
    resolver = Flipping("127.0.0.1", "127.0.0.9")
    asked: list[Any] = []
    found = await fetch({"/": PAGE}, resolver=resolver, inspect=lambda site: asked.extend(site.asked))
    assert (found.body, resolver.looked, len(asked)) == (b"<p>hello</p>", 1, 1)


async def test_name_that_flips_between_two_hops_is_refused_at_the_second() -> None:
    resolver = Flipping("127.0.0.1", "169.254.169.254")
    asked: list[Any] = []
    code = await refused({"/": moved("/1"), "/1": PAGE}, resolver=resolver, inspect=lambda s: asked.extend(s.asked))
    assert code == "address_not_allowed"
    assert len(asked) == 1


async def test_one_inner_address_among_others_makes_the_name_suspect() -> None:
    async def mixed(host: str, port: int) -> Sequence[IPAddress]:
        return [LOOPBACK, ipaddress.ip_address("10.0.0.1")]

    asked: list[Any] = []
    assert await refused({"/": PAGE}, resolver=mixed, inspect=lambda s: asked.extend(s.asked)) == "address_not_allowed"
    assert not asked


async def test_the_check_of_production_refuses_the_very_server_of_these_tests() -> None:
    asked: list[Any] = []
    code = await refused({"/": PAGE}, allowed=is_public, inspect=lambda site: asked.extend(site.asked))
    assert code == "address_not_allowed"
    assert not asked


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0xA9FEA9FE",
        "2852039166",
        "0251.0376.0251.0376",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "[::]",
        "224.0.0.1",
    ],
)
async def test_with_the_resolver_of_production_no_spelling_of_an_inner_address_passes(host: str) -> None:
    with pytest.raises(FetchRefused) as caught:
        await Fetcher(deadline_s=5.0).fetch(f"http://{host}/", ("*",))
    assert caught.value.code in ("address_not_allowed", "name_not_found", "invalid_url")


async def test_name_without_an_address_is_said_so() -> None:
    async def none(host: str, port: int) -> Sequence[IPAddress]:
        raise OSError("no such name")

    assert await refused({"/": PAGE}, resolver=none) == "name_not_found"


async def test_slow_name_server_counts_towards_the_deadline() -> None:
    async def never(host: str, port: int) -> Sequence[IPAddress]:
        await asyncio.Event().wait()
        return []

    assert await refused({"/": PAGE}, resolver=never, deadline_s=0.1) == "too_slow"


# --- bodies ----------------------------------------------------------------------------------------------------------


async def _gigabyte(more: str, chunk: bytes, first: bytes = b"") -> int:
    held: list[HostileSite] = []
    page = endless(lambda: held[0], chunk, 1024**3, more, first)
    sent = 0
    async with hostile_site({"/": page}) as site:
        held.append(site)
        fetcher = Fetcher(resolver=to_loopback, allowed=only_loopback, ports={site.port})
        with pytest.raises(FetchRefused) as caught:
            await fetcher.fetch(f"http://{NAME}:{site.port}/", (NAME,))
        sent = site.sent
    assert caught.value.code == "too_large"
    return sent


@pytest.mark.parametrize("more", ["", f"Content-Length: {1024**3}\r\n"])
async def test_a_gigabyte_is_not_read_past_the_limit(more: str) -> None:
    assert await _gigabyte(more, b"x" * 65536) < 32 * 1024**2, "what was sent is what sockets hold, not the gigabyte"


async def test_endless_packed_data_that_unpacks_to_nothing_is_not_read_past_the_limit() -> None:
    header, empty_blocks = gzip.compress(b"")[:10], b"\x00\x00\x00\xff\xff" * 8192
    assert await _gigabyte("Content-Encoding: gzip\r\n", empty_blocks, header) < 32 * 1024**2


async def test_gzip_bomb_is_unpacked_only_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(b"\x00" * (200 * 1024**2), 9)
    assert len(bomb) < 300_000
    unpacked = 0
    real = zlib.decompressobj

    def counting(*arguments: Any) -> Any:
        made = real(*arguments)

        class Counting:
            def decompress(self, data: bytes, max_length: int = 0) -> bytes:
                nonlocal unpacked
                out = made.decompress(data, max_length=max_length)
                unpacked += len(out)
                return out

            def __getattr__(self, name: str) -> Any:
                return getattr(made, name)

        return Counting()

    monkeypatch.setattr("runtime.tools.fetch.body.zlib.decompressobj", counting)
    assert await refused({"/": answers(bomb, "text/plain", more="Content-Encoding: gzip\r\n")}) == "too_large"
    assert 2 * 1024**2 < unpacked < 3 * 1024**2


async def test_bomb_within_a_bomb_is_not_even_begun() -> None:
    twice = gzip.compress(gzip.compress(b"\x00" * 1024**2))
    page = answers(twice, "text/plain", more="Content-Encoding: gzip, gzip\r\n")
    assert await refused({"/": page}) == "encoding_not_supported"


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(b"x" * 100_000)[:-20]])
async def test_damaged_packing_is_said_so(body: bytes) -> None:
    assert await refused({"/": answers(body, "text/plain", more="Content-Encoding: gzip\r\n")}) == "broken"


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: ", b""],
    ids=["body", "header", "status line"],
)
async def test_a_drip_does_not_outlast_the_deadline(head: bytes) -> None:
    async def impatient() -> str:
        async with asyncio.timeout(5):
            return await refused({"/": drips(head, 0.02)}, deadline_s=0.3)

    assert await impatient() == "too_slow"


async def test_a_server_that_says_nothing_does_not_outlast_the_deadline() -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.6)

    assert await refused({"/": silent}, deadline_s=0.2) in ("too_slow", "broken")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: text/plain\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000,
        b"",
    ],
    ids=["ssh", "short body", "two lengths", "endless header", "nothing"],
)
async def test_what_is_no_http_is_broken(data: bytes) -> None:
    assert await refused({"/": raw(data)}) == "broken"


# --- TLS -------------------------------------------------------------------------------------------------------------


async def test_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    server, _ = server_tls(NAME, tmp_path)
    assert await refused({"/": PAGE}, scheme="https", server=server) == "tls_failed"


async def test_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    server, tls = server_tls("other.test", tmp_path)
    asked: list[Any] = []
    code = await refused(
        {"/": PAGE}, scheme="https", server=server, tls=tls, inspect=lambda site: asked.extend(site.asked)
    )
    assert code == "tls_failed"
    assert not asked, "nothing was asked of it"


async def test_tls_with_a_server_that_has_none_is_refused() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")(writer)
        await reader.read(1)  # until the client has said something, or left
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        fetcher = Fetcher(resolver=to_loopback, allowed=only_loopback, ports={port}, deadline_s=5.0)
        with pytest.raises(FetchRefused) as caught:
            await fetcher.fetch(f"https://{NAME}:{port}/", (NAME,))
    assert caught.value.code == "tls_failed"


# --- types and statuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "application/pdf", "video/mp4", "", "text"])
async def test_what_is_no_text_is_not_read(kind: str) -> None:
    assert await refused({"/": answers(b"x", kind)}) == "type_not_allowed"


@pytest.mark.parametrize(
    "kind", ["text/html; charset=utf-8", "TEXT/PLAIN", "application/json", "application/feed+json"]
)
async def test_what_is_text_is_read(kind: str) -> None:
    assert (await fetch({"/": answers(b"x", kind)})).body == b"x"


@pytest.mark.parametrize(
    ("status", "code"),
    [("404 Not Found", "http_404"), ("500 Oops", "http_500"), ("204 No Content", "http_204"), ("304 Same", "http_304")],
)
async def test_any_status_but_200_is_a_code(status: str, code: str) -> None:
    assert await refused({"/": answers(status=status)}) == code


async def test_nobody_listening_is_unreachable() -> None:
    async with hostile_site({}) as site:
        port = site.port
    fetcher = Fetcher(resolver=to_loopback, allowed=only_loopback, ports={port}, deadline_s=5.0)
    with pytest.raises(FetchRefused) as caught:
        await fetcher.fetch(f"http://{NAME}:{port}/", (NAME,))
    assert caught.value.code == "unreachable"
