"""The row "JSON": bodies that two parsers could read differently, that no store can hold, or that do not fit."""

from __future__ import annotations

import json
from typing import Any

from tests.hostile.case import BUSY, ENDED, HASH, INPUT, RESUME, RUNS, WAITING, Case, bodies, case
from tests.hostile.raw import post


def cases() -> list[Case]:
    return [*grammar(), *fields(), *said(), *plans(), *attachments(), *texts()]


def grammar() -> list[Case]:
    """400 wherever it stands."""
    whole = '{"input":"a"}'
    bad = {
        "empty": b"",
        "blank": b" \r\n\t",
        "truncated": b'{"input":',
        "truncated string": b'{"input":"a',
        "trailing bytes": b'{"input":"a"} x',
        "two documents": b'{"input":"a"}{"input":"b"}',
        "trailing NUL": b'{"input":"a"}\x00',
        "byte order mark": b"\xef\xbb\xbf" + whole.encode(),
        "UTF-16": whole.encode("utf-16"),
        "UTF-16 without mark": whole.encode("utf-16-le"),
        "UTF-32": whole.encode("utf-32"),
        "Latin-1": b'{"input":"\xe4"}',
        "invalid UTF-8": b'{"input":"\xff\xfe"}',
        "overlong slash": b'{"input":"\xc0\xaf"}',
        "surrogate in UTF-8": b'{"input":"\xed\xa0\x80"}',
        "beyond Unicode": b'{"input":"\xf4\x90\x80\x80"}',
        "NaN": b'{"deadline_s":NaN}',
        "Infinity": b'{"deadline_s":Infinity}',
        "-Infinity": b'{"deadline_s":-Infinity}',
        "1e999": b'{"deadline_s":1e999}',
        "-1e999": b'{"deadline_s":-1e999}',
        "5,000 digits": b'{"deadline_s":' + b"9" * 5000 + b"}",
        "hexadecimal": b'{"deadline_s":0x10}',
        "leading zero": b'{"deadline_s":010}',
        "leading plus": b'{"deadline_s":+1}',
        "no digits after the point": b'{"deadline_s":1.}',
        "lone high surrogate": b'{"input":"\\ud800"}',
        "lone low surrogate": b'{"input":"a\\udfffb"}',
        "surrogates the wrong way round": b'{"input":"\\udc00\\ud800"}',
        "lone surrogate in a key": b'{"\\ud800":"a"}',
        "lone surrogate in metadata": b'{"input":"a","metadata":{"k":"\\ud800"}}',
        "lone surrogate in a metadata key": b'{"input":"a","metadata":{"\\ud83d":"v"}}',
        "lone surrogate in an id": b'{"input":"a","conversation_id":"\\ud800"}',
        "NUL": b'{"input":"a\\u0000"}',
        "NUL in a key": b'{"a\\u0000":1}',
        "NUL in metadata": b'{"input":"a","metadata":{"k":"\\u0000"}}',
        "raw NUL": b'{"input":"a\x00b"}',
        "raw line end in a string": b'{"input":"a\nb"}',
        "bad escape": b'{"input":"\\x41"}',
        "short escape": b'{"input":"\\u12"}',
        "depth 33": b'{"a":' * 33 + b"1" + b"}" * 33,
        "depth 33 of lists": b"[" * 33 + b"]" * 33,
        "depth 1,000": b"[" * 1000 + b"]" * 1000,
        "depth 100,000": b"[" * 100_000 + b"]" * 100_000,
        "depth 100,000, truncated": b'{"a":' * 100_000,
        "key twice": b'{"input":"a","input":"b"}',
        "key twice, escaped": b'{"input":"a","\\u0069nput":"b"}',
        "key twice within": b'{"metadata":{"a":"1","a":"2"}}',
        "single quotes": b"{'input':'a'}",
        "no quotes": b'{input:"a"}',
        "trailing comma": b'{"input":"a",}',
        "comment": b'{"input":"a"/* b */}',
        "Python": b'{"input":None}',
        "form": b"input=a",
        "XML": b"<input>a</input>",
        "YAML": b"input: a\n",
        "pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.",
        "msgpack": b"\x81\xa5input\xa1a",
    }
    found = bodies("JSON", bad.items(), 400, code="invalid_json")
    return [one for one in found if one.name != "empty to resume"]  # it wishes for nothing


def fields() -> list[Case]:
    """422: unknown fields (mass assignment), wrong types, numbers out of range."""
    row, found = "Mass assignment", []
    ours = "tenant_id owner epoch status cost run_id state created_at seq takeovers spent budget cancel_requested"
    ours += " user admin __proto__ constructor model_config"
    for where, path, good in (
        ("create", RUNS, {"input": "a"}),
        ("resume", RESUME, {}),
        ("input", INPUT, {"type": "message", "text": "a"}),
    ):
        for name in ours.split():
            found.append(_body(row, f"{name} to {where}", path, {**good, name: "x"}))
    for value in (None, True, 1, 1.5, "text", [], [{}], {}, {"inputs": "a"}, [["input", "a"]]):
        found.append(_body("Wrong type", f"body {json.dumps(value)}", RUNS, value))
    wrong: dict[str, tuple[Any, ...]] = {
        "input": (None, True, 5, [], {}, "", " ", "\n\t", ["a"], "x" * 20_001),
        "documents": (5, "", [], "x" * 4097, "/nowhere/at/all", "\n", "../../../../nowhere"),
        "conversation_id": (
            5,
            True,
            "",
            "a b",
            "../x",
            "%2e%2e",
            "%00",
            "\u202e",
            "🏞",
            "é",
            "e\u0301",
            "x" * 65,
            "a\n",
            "a/b",
        ),
        "on_disconnect": (True, "", "stop", "CANCEL", 1, ["cancel"]),
        "grace_s": ("5", True, -1, -0.1, 3601, 1e300, [], {}, "NaN"),
        "deadline_s": ("5", True, 0, -1, 0.5, 86_401, 1e300, [], "1h"),
        "budget_usd": ("5", True, 0, -1, 1001, 1e300, [], "$5"),
        "approve_plan": ("true", 1, 0, "yes", [], "on"),
        "metadata": (
            [],
            "a",
            1,
            {"k": 1},
            {"k": True},
            {"k": None},
            {"": "v"},
            {"k" * 65: "v"},
            {"k": "v" * 513},
            {str(n): "v" for n in range(17)},
        ),
        "attachments": ({}, "a", 1, ["a"], [{}], [None], [{"type": "text"}] * 9, [{}] * 10_000),
    }
    for name, values in wrong.items():
        for number, value in enumerate(values):
            found.append(_body("Wrong type", f"{name} #{number}", RUNS, {"input": "a", name: value}))
    found.append(_body("Large body", "1 M attachments", RUNS, {"input": "a", "attachments": [0] * 300_000}, 413, 422))
    found.append(_body("Large body", "prompt of 1 MB", RUNS, {"input": "x" * 1_000_000}, 422))
    found.append(case("Large body", "prompt of 10 MB", post(RUNS, b'{"input":"' + b"x" * 10_000_000 + b'"}'), 413))
    return found


def said() -> list[Case]:
    row, found = "State", []
    wrong: list[dict[str, Any]] = [
        {},
        {"type": "nothing"},
        {"type": None},
        {"type": ["message"]},
        {"type": "message"},
        {"type": "message", "text": " "},
        {"type": "message", "text": "a", "stage": "../x"},
        {"type": "message", "text": "a", "stage": "nosuchstep"},
        {"type": "message", "text": "x" * 20_001},
        {"type": "approve"},
        {"type": "approve", "approval": "plan"},
        {"type": "approve", "approval": "plan", "arguments_hash": ""},
        {"type": "approve", "approval": "plan", "arguments_hash": "x" * 65},
        {"type": "approve", "approval": "plan", "arguments_hash": HASH, "approved": "yes"},
        {"type": "approve", "approval": "plan", "arguments_hash": HASH, "approved": 1},
        {"type": "cancel_stage"},
        {"type": "cancel_stage", "stage": "a b"},
        {"type": "answer", "approval": "plan"},
    ]
    found += [_body(row, f"input #{number}", INPUT, body) for number, body in enumerate(wrong)]
    conflicts: list[tuple[str, dict[str, Any], str]] = [
        (
            "approve something else",
            {"type": "approve", "approval": "plan", "arguments_hash": "0" * 64},
            "arguments_changed",
        ),
        ("approve what is not asked", {"type": "approve", "approval": "tool", "arguments_hash": "0"}, "not_asked"),
        ("answer what is no question", {"type": "answer", "approval": "plan", "text": "yes"}, "not_asked"),
    ]
    found += [case(row, name, post(INPUT, _dump(body)), 409, code=code) for name, body, code in conflicts]
    ended = f"/v1/runs/{ENDED}/input"
    message = b'{"type":"message","text":"a"}'
    found.append(case(row, "input to an ended run", post(ended, message), 409, code="run_finished"))
    found.append(case(row, "cancel of an ended run", post(f"/v1/runs/{ENDED}/cancel", b""), 409, code="run_finished"))
    found.append(
        case(row, "resume of a running run", post(f"/v1/runs/{WAITING}/resume", b"{}"), 409, code="run_unfinished")
    )
    found.append(
        case(row, "ask a busy conversation", post(RUNS, b'{"input":"a","conversation_id":"%s"}' % BUSY.encode()), 409)
    )
    return found


def plans() -> list[Case]:
    """Team graphs that are none: 422 for a resume and for an approval."""
    row, found = "Plan", []

    def todo(name: str, *after: str, agent: str = "writing", **more: Any) -> dict[str, Any]:
        return {"id": name, "title": "T", "agent": agent, "depends_on": list(after), **more}

    wrong: dict[str, Any] = {
        "no todos": {"todos": []},
        "21 todos": {"todos": [todo(f"t{n}") for n in range(21)]},
        "10,000 todos": {"todos": [todo(f"t{n}") for n in range(10_000)]},
        "waits for itself": {"todos": [todo("a", "a")]},
        "two in a circle": {"todos": [todo("a", "b"), todo("b", "a")]},
        "three in a circle": {"todos": [todo("a", "c"), todo("b", "a"), todo("c", "b")]},
        "same id twice": {"todos": [todo("a"), todo("a")]},
        "depends on nothing there": {"todos": [todo("a", "z")]},
        "unknown agent": {"todos": [todo("a", agent="nobody")]},
        "planning agent": {"todos": [todo("a", agent="planner")]},
        "agent that is a path": {"todos": [todo("a", agent="../writing")]},
        "agent in capitals": {"todos": [todo("a", agent="WRITING")]},
        "id that is a path": {"todos": [todo("../a")]},
        "id with a NUL written out": {"todos": [todo("a%00")]},
        "empty title": {"todos": [{**todo("a"), "title": ""}]},
        "long title": {"todos": [{**todo("a"), "title": "x" * 301}]},
        "unknown field of a todo": {"todos": [todo("a", status="completed")]},
        "unknown field": {"todos": [todo("a")], "status": "completed"},
        "max_parallel as text": {"todos": [todo("a")], "max_parallel": "4"},
        "max_parallel as bool": {"todos": [todo("a")], "max_parallel": True},
        "max_parallel 0": {"todos": [todo("a")], "max_parallel": 0},
        "max_parallel 1,000": {"todos": [todo("a")], "max_parallel": 1000},
        "prefer_sequential as text": {"todos": [todo("a")], "prefer_sequential": "true"},
        "id as number": {"todos": [{**todo("a"), "id": 1}]},
        "a text": "do it",
        "a list": [todo("a")],
    }
    for name, plan in wrong.items():
        found.append(_body(row, f"{name}, resume", RESUME, {"plan": plan}))
        approve = {"type": "approve", "approval": "plan", "arguments_hash": HASH, "plan": plan}
        found.append(_body(row, f"{name}, approval", INPUT, approve))
    for step in ("nosuchstep", "../x", "", "a b", 5):
        found.append(_body(row, f"from_stage {step!r}", RESUME, {"from_stage": step}))
    return found


def attachments() -> list[Case]:
    good = {"type": "image", "media_type": "image/png", "data": "iVBORw0KGgo="}
    wrong: dict[str, Any] = {
        "no data": {"type": "image", "media_type": "image/png"},
        "both": {**good, "url": "https://example.org/a.png"},
        "another kind": {**good, "type": "pdf"},
        "another picture": {**good, "media_type": "image/jpeg"},
        "no type": {"data": good["data"]},
        "line breaks": {**good, "data": "iVBORw0K\nGgo="},
        "not padded": {**good, "data": "iVBORw0KGgo"},
        "not base64": {**good, "data": "<svg/>"},
        "SVG": {**good, "media_type": "image/svg+xml"},
        "name of two lines": {**good, "name": "a\nb"},
        "name turned round": {**good, "name": "a\u202egnp.exe"},
        "http": {"type": "image", "url": "http://example.org/a.png"},
        "file": {"type": "image", "url": "file:///etc/passwd"},
        "userinfo": {"type": "image", "url": "https://a:b@example.org/"},
        "no host": {"type": "image", "url": "https:///a"},
        "javascript": {"type": "image", "url": "javascript:alert(1)"},
        "open bracket": {"type": "image", "url": "https://[::1/"},
        "a text by url": {"type": "text", "url": "https://example.org/a.txt"},
        "unknown field": {**good, "path": "/etc/passwd"},
    }
    return [_body("Attachment", name, RUNS, {"input": "a", "attachments": [one]}) for name, one in wrong.items()]


def texts() -> list[Case]:
    """What is odd and nevertheless a text: accepted as it stands."""
    fine = [
        "../../etc/passwd",
        "%2e%2e%00",
        "\u202eabc",
        "🏞🇺🇳👩‍👩‍👧",
        "e\u0301",
        "é",
        "<script>alert(1)</script>",
        "a\u2028b\u2029c",
        "data: x\n\nevent: y",
        "' OR 1=1--",
        "{{7*7}}",
        "\x7f\x1b[31m",
    ]
    found = [
        _body("Served", f"text #{n}", RUNS, {"input": text, "metadata": {"k": text}}, 202)
        for n, text in enumerate(fine)
    ]
    return found + [
        _body("Served", f"said #{n}", INPUT, {"type": "message", "text": text}, 202) for n, text in enumerate(fine)
    ]


def _body(row: str, name: str, path: str, body: Any, *expect: int) -> Case:
    return case(row, name, post(path, _dump(body)), *(expect or (422,)))


def _dump(body: Any) -> bytes:
    return json.dumps(body).encode()
