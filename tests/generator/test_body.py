import asyncio
from collections.abc import Sequence

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from runtime.generator.body import MAX_DEPTH, parse_json, read_body, validate
from runtime.generator.problems import Refusal
from runtime.generator.requests import CreateRun
from tests.generator.driver import http_scope

JSON = ("Content-Type", "application/json")


def request(chunks: Sequence[bytes], headers: Sequence[tuple[str, str]] = (JSON,), *, cut: bool = False) -> Request:
    """A request whose body comes in ``chunks``; ``cut``: then the client is gone before the end."""
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if cut else {"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    return Request(http_scope("POST", "/v1/runs", headers), receive)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"   ", id="blank"),
        pytest.param(b'{"input":', id="truncated"),
        pytest.param(b'{"input":"a"} x', id="trailing bytes"),
        pytest.param(b'{"input":"a"}{}', id="two documents"),
        pytest.param(b'\xef\xbb\xbf{"input":"a"}', id="byte order mark"),
        pytest.param('{"input":"a"}'.encode("utf-16"), id="utf-16"),
        pytest.param('{"input":"a"}'.encode("utf-16-le"), id="utf-16 without mark"),
        pytest.param(b'{"input":"\xff\xfe"}', id="invalid utf-8"),
        pytest.param(b'{"input":"\xed\xa0\x80"}', id="surrogate in utf-8"),
        pytest.param(b'{"input":"\xc0\x80"}', id="overlong NUL"),
        pytest.param(b'{"deadline_s":NaN}', id="NaN"),
        pytest.param(b'{"deadline_s":Infinity}', id="Infinity"),
        pytest.param(b'{"deadline_s":-Infinity}', id="-Infinity"),
        pytest.param(b'{"deadline_s":1e999}', id="1e999"),
        pytest.param(b'{"deadline_s":' + b"9" * 5000 + b"}", id="5,000 digits"),
        pytest.param(b'{"input":"\\ud800"}', id="lone high surrogate"),
        pytest.param(b'{"input":"\\udc00"}', id="lone low surrogate"),
        pytest.param(b'{"metadata":{"\\ud800":"x"}}', id="lone surrogate in a key"),
        pytest.param(b'{"input":"a\\u0000b"}', id="NUL"),
        pytest.param(b'{"metadata":{"a\\u0000":"x"}}', id="NUL in a key"),
        pytest.param(b'{"metadata":{"a":["x",{"b":"\\u0000"}]}}', id="NUL deep inside"),
        pytest.param(b'{"input":"a\nb"}', id="raw line end in a string"),
        pytest.param(b'{"input":"a","input":"b"}', id="duplicate key"),
        pytest.param(b'{"input":"a","\\u0069nput":"b"}', id="duplicate key, escaped"),
        pytest.param(b'{"x":[{"metadata":{"a":"1","a":"2"}}]}', id="duplicate key deep inside"),
        pytest.param(nested(MAX_DEPTH + 1), id="depth 33"),
        pytest.param(b'{"a":' * 33 + b"1" + b"}" * 33, id="depth 33 of objects"),
        pytest.param(nested(1000), id="depth 1,000"),
        pytest.param(nested(100_000), id="depth 100,000"),
        pytest.param(b"[" * 100_000, id="depth 100,000, truncated"),
        pytest.param(b"{'input':'a'}", id="single quotes"),
        pytest.param(b'{"input":"a",}', id="trailing comma"),
        pytest.param(b'/* c */{"input":"a"}', id="comment"),
        pytest.param(b'{"deadline_s":01}', id="leading zero"),
    ],
)
def test_json_that_cannot_be_trusted_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        parse_json(raw)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' {"a":[1,2.5,true,null]}\n', {"a": [1, 2.5, True, None]}),
        (b'"\\ud83c\\udfde"', "🏞"),
        ('"🏞 \u2028"'.encode(), "🏞 \u2028"),
        (nested(2), [[]]),
    ],
)
def test_plain_json_is_read(raw: bytes, value: object) -> None:
    assert parse_json(raw) == value


def test_depth_32_is_allowed() -> None:
    parse_json(nested(MAX_DEPTH))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Content-Type", "text/plain")],
        [("Content-Type", "application/x-www-form-urlencoded")],
        [("Content-Type", "multipart/form-data; boundary=x")],
        [("Content-Type", "application/json; charset=utf-16")],
        [("Content-Type", "application/jsonp")],
        [JSON, JSON],
        [JSON, ("Content-Encoding", "gzip")],
        [JSON, ("Content-Encoding", "identity, br")],
    ],
)
async def test_only_plain_json_bodies_are_read(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(Refusal) as caught:
        await read_body(request([b"{}"], headers), max_bytes=1024)
    assert caught.value.status == 415


@pytest.mark.parametrize("media", ["application/json", "APPLICATION/JSON", 'application/json; charset="UTF-8"'])
async def test_ways_to_say_json(media: str) -> None:
    headers = [("Content-Type", media), ("Content-Encoding", "identity")]
    assert await read_body(request([b"{", b"}"], headers), max_bytes=2) == b"{}"


async def test_declared_size_is_refused_before_anything_is_read() -> None:
    async def never() -> Message:
        raise AssertionError("the body was read")

    headers = (JSON, ("Content-Length", "1025"))
    with pytest.raises(Refusal) as caught:
        await read_body(Request(http_scope("POST", "/", headers), never), max_bytes=1024)
    assert (caught.value.status, caught.value.code) == (413, "body_too_large")


async def test_undeclared_size_is_refused_while_reading() -> None:
    endless = [b"x" * 400] * 100
    asked = request(endless)
    with pytest.raises(Refusal) as caught:
        await read_body(asked, max_bytes=1024)
    assert caught.value.status == 413


async def test_client_that_leaves_midway_is_no_body() -> None:
    with pytest.raises(ClientDisconnect):
        await read_body(request([b'{"input":'], cut=True), max_bytes=1024)


async def test_trickled_body_is_given_up() -> None:
    async def trickle() -> Message:
        await asyncio.sleep(0.005)
        return {"type": "http.request", "body": b" ", "more_body": True}

    with pytest.raises(Refusal) as caught:
        await read_body(Request(http_scope("POST", "/", [JSON]), trickle), max_bytes=1024, deadline_s=0.05)
    assert (caught.value.status, caught.value.code) == (408, "body_timeout")


def test_validation_points_at_each_mistake() -> None:
    value = {"input": "q", "grace_s": "5", "a/b~c": 1, "metadata": {"k": 7}}
    with pytest.raises(Refusal) as caught:
        validate(CreateRun, value)
    refusal = caught.value
    assert (refusal.status, refusal.code) == (422, "validation_failed")
    assert {error.pointer for error in refusal.errors} == {"/grace_s", "/a~1b~0c", "/metadata/k"}


def test_a_thousand_mistakes_make_a_short_answer() -> None:
    with pytest.raises(Refusal) as caught:
        validate(CreateRun, {"x" * 5000 + str(n): n for n in range(1000)})
    assert len(caught.value.errors) == 20
    assert len(caught.value.detail) < 2000
