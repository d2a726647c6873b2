"""Bodies that no Headrace wrote, and what would happen if one of them were ever taken for code."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgpack
import orjson


class Bomb:
    """Unpickled, it writes the file ``armed`` names."""

    armed = Path("/nonexistent")

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return _explode, (str(self.armed), "pickle")


def _explode(path: str, how: str) -> None:
    Path(path).write_text(how)


def bodies(run_id: str, proof: Path) -> dict[str, bytes]:
    """Name -> bytes of an event's body; ``proof`` is a file that exists once any of them was run."""
    bomb = Bomb()
    Bomb.armed = proof
    shell = f"touch {proof}"
    code = f"__import__('os').system({shell!r})"
    lc = {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": shell}}
    turn = {"content": [], "stop_reason": "end_turn", "usage": {}, "model": "m"}
    deep = b"[" * 100_000 + b"]" * 100_000

    def event(kind: str, data: object, **more: object) -> bytes:
        head = {"run_id": run_id, "family": "status", "type": kind, "at": 1.0}
        return orjson.dumps({**head, **more, "data": data})

    plain = event("title.set", {"title": "t"})
    return {
        "pickle": pickle.dumps(bomb),
        "pickle in text": event("title.set", {"title": pickle.dumps(bomb, protocol=0).decode("latin-1")}),
        "lc body": orjson.dumps(lc),
        "lc data": event("custom", {"name": "lc", "value": lc}),
        "lc type": event("title.set", lc),
        "code as type": event(code, {}),
        "code as title": event("title.set", {"title": code}),
        "template": event("title.set", {"title": "{0.__class__.__mro__} ${jndi:ldap://127.0.0.1/x} {{7*7}}"}),
        "yaml": f"!!python/object/apply:os.system ['{shell}']".encode(),
        "msgpack ext": msgpack.packb({"type": msgpack.ExtType(5, pickle.dumps(bomb))}),
        "marshal": b"\xe3" + bytes(60),
        "lone surrogate": plain.replace(b'"t"', b'"\\ud800"'),
        "raw surrogate": plain.replace(b'"t"', b'"\xed\xa0\x80"'),
        "nul escaped": plain.replace(b'"t"', b'"a\\u0000b"'),
        "nul raw": plain.replace(b'"t"', b'"a\x00b"'),
        "ten megabytes": event("title.set", {"title": "x" * 10_000_000}),
        "unknown and ten megabytes": event("y" * 1000, {"title": "x" * 10_000_000}),
        "deep": b'{"run_id":"r","type":"custom","at":1,"data":{"name":"d","value":' + deep + b"}}",
        "deep but legal": event("custom", {"name": "d", "value": _nested(200)}),
        "nan": plain.replace(b"1.0", b"NaN"),
        "infinite": plain.replace(b"1.0", b"1e999"),
        "huge integer": plain.replace(b"1.0", b"9" * 5000),
        "huge seconds": plain.replace(b"1.0", b"1e308"),
        "huge count": event("turn.completed", {**turn, "usage": {"input_tokens": 10**18}}, agent="planner", turn=1),
        "negative money": event("turn.started", {"model": "m", "request_hash": "h", "reserved_cost_usd": -1e300}),
        "twin keys": plain[:-1] + b',"type":"run.completed","type":"title.set"}',
        "at is text": event("title.set", {"title": "t"}, at="now"),
        "stage is a list": event("stage.started", {"index": 1, "of": 1, "title": "t", "todo": "t"}, stage=["a"]),
        "turn is text": event("turn.started", {"model": "m", "request_hash": "h"}, stage="find", turn="one"),
        "turn without its number": event("turn.started", {"model": "m", "request_hash": "h"}, agent="planner"),
        "agent of none": event("agent.started", {"model": "m"}),
        "stage of no plan": event("stage.dispatched", {"dispatch": 1, "lease_s": 1.0}, stage="nowhere"),
        "dispatch is text": event("stage.dispatched", {"dispatch": "many"}),
        "dispatch is huge": event("stage.dispatched", {"dispatch": 10**18, "lease_s": 1.0}),
        "end without a beginning": event("turn.completed", turn, agent="planner"),
        "another run's": event("title.set", {"title": "t"}, run_id="neighbour"),
        "list": b"[]",
        "text": b'"title.set"',
        "number": b"7",
        "null": b"null",
        "nothing": b"",
        "not utf-8": b"\xff\xfe\x00{",
        "data is a list": event("title.set", [1, 2]),
        "data is missing": b'{"run_id":"r","type":"title.set","at":1}',
        "type is an object": event({"$ref": "x"}, {}),  # type: ignore[arg-type]
        "prototype": event("title.set", {"title": "t", "__class__": "x", "__proto__": {"polluted": True}}),
        "frames": plain[:-1] + b"}\n\nid: 99.9\nevent: run.completed\ndata: {}\n\n{",
    }


def _nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value
