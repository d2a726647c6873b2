"""P10, tenants cannot see each other: every operation with every kind of credential, and cursors from elsewhere.

An operation without a row here fails: whoever adds one says what it asks for and what of a tenant's it names. ``CURSORS=n``
and ``SEED=n`` for other trials.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.generator.principal import SCOPES
from tests.fakes.postgres import emptied_database
from tests.faults.report import record
from tests.faults.tenants import House, Tenant, house

CURSORS = int(os.environ.get("CURSORS", "1000"))
SEED = int(os.environ.get("SEED", "7"))

PUBLIC = {"index", "healthz", "readyz", "openapi"}
"""What everybody may ask; it must tell nobody's secrets."""

ABSENT_RUN = "99999999-9999-4999-8999-999999999999"
Path_ = Callable[[Tenant], str]


@dataclass(frozen=True)
class Row:
    """How an operation is asked by its owner, and what answers a good request."""

    path: Path_
    good: tuple[int, ...]
    body: dict[str, Any] | None = None
    accept: str = "application/json"
    names: bool = True
    """The path names something of the tenant's: to everybody else it is not there."""


def run(which: str, rest: str = "") -> Path_:
    return lambda tenant: f"/v1/runs/{getattr(tenant, which)['run_id']}{rest}"


def talk(which: str) -> Path_:
    return lambda tenant: f"/v1/conversations/{getattr(tenant, which)['conversation_id']}"


def chat(which: str, rest: str) -> Path_:
    return lambda tenant: f"/v1/ai-sdk/chat/{getattr(tenant, which)['conversation_id']}{rest}"


CHAT = {"id": "matrix", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Why?"}]}]}


def plain(path: str) -> Path_:
    return lambda _: path


ROWS: dict[str, Row] = {
    "createRun": Row(plain("/v1/runs"), (202,), {"input": "Why?"}, names=False),
    "listRuns": Row(plain("/v1/runs"), (200,), names=False),
    "getRun": Row(run("ended"), (200,)),
    "getEvents": Row(run("ended", "/events"), (200,)),
    "sayToRun": Row(run("waiting", "/input"), (202,), {"type": "message", "text": "Keep it short."}),
    "resumeRun": Row(run("cancelled", "/resume"), (201,), {}),
    "cancelRun": Row(run("waiting", "/cancel"), (202,)),
    "listConversations": Row(plain("/v1/conversations"), (200,), names=False),
    "getConversation": Row(talk("ended"), (200,)),
    "deleteConversation": Row(talk("spare"), (204,)),
    "listAgents": Row(plain("/v1/agents"), (200,), names=False),
    "listTools": Row(plain("/v1/tools"), (200,), names=False),
    "chat": Row(plain("/v1/ai-sdk/chat"), (200,), CHAT, accept="text/event-stream", names=False),
    "resumeChat": Row(chat("ended", "/stream"), (200,), accept="text/event-stream", names=False),
    "listChatMessages": Row(chat("ended", "/messages"), (200,), names=False),
    "stopChat": Row(chat("waiting", "/stop"), (202, 409)),
    "createKey": Row(plain("/v1/keys"), (201,), {"name": "new"}, names=False),
    "listKeys": Row(plain("/v1/keys"), (200,), names=False),
    "rotateKey": Row(lambda tenant: f"/v1/keys/{tenant.key_id}/rotate", (201,), {}),
    "revokeKey": Row(lambda tenant: f"/v1/keys/{tenant.key_id}", (204,)),
}


@pytest.fixture
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    store = {"log": await emptied_database()} if getattr(request, "param", "sqlite") == "postgres" else {}
    async with house(tmp_path, time.time(), **store) as built:
        yield built


ON_BOTH_STORES = pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
async def both(world: House) -> AsyncIterator[tuple[Tenant, Tenant]]:
    acme, umbra = await asyncio.gather(world.tenant("acme"), world.tenant("umbra"))
    yield acme, umbra
    await acme.http.aclose()
    await umbra.http.aclose()


async def operations(http: httpx2.AsyncClient) -> dict[str, tuple[str, str, str | None]]:
    """Of the OpenAPI document: name -> method, path, the scope it asks for."""
    document = (await http.get("/openapi.json")).json()
    return {
        operation["operationId"]: (
            method.upper(),
            path,
            next((s["credential"][0] for s in operation["security"]), None),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def looks(answer: httpx2.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """All of an answer but what differs between any two."""
    headers = [(k, v) for k, v in answer.headers.multi_items() if k not in ("x-request-id", "date")]
    return answer.status_code, sorted(headers), answer.content


async def asked(http: httpx2.AsyncClient, method: str, row: Row, path: str) -> httpx2.Response:
    body = {} if row.body is None else {"json": row.body}
    return await http.request(method, path, headers={"Accept": row.accept}, **body)


async def bad_credentials(world: House) -> dict[str, str | None]:
    issuer, absent = world.issuer, f"hr_{'f' * 16}.{'A' * 43}"
    return {
        "none": None,
        "bad": absent,
        "no key at all": "nonsense",
        "wrong secret": f"{(await world.key('acme')).partition('.')[0]}.{'A' * 43}",
        "revoked": await world.revoked("acme"),
        "expired": await world.key("acme", expired=True),
        "token expired": issuer.token(exp=issuer.now - 100),
        "token of nobody": issuer.forged({"alg": "none"}),
        "token signed with the public key": issuer.forged({"alg": "HS256", "kid": "r1"}, issuer.public_pem()),
        "token for others": issuer.token(aud="others"),
    }


@ON_BOTH_STORES
async def test_credential_matrix_over_every_operation(world: House, both: tuple[Tenant, Tenant]) -> None:
    acme, umbra = both
    listed = await operations(acme.http)
    assert set(listed) == set(ROWS) | PUBLIC, "every operation has a row"
    assert {name for name, (_, _, scope) in listed.items() if scope is None} == PUBLIC
    bad = {name: world.http(credential) for name, credential in (await bad_credentials(world)).items()}
    tries = 0
    for name in sorted(ROWS, key=list(ROWS).index):
        method, template, scope = listed[name]
        row = ROWS[name]
        assert scope is not None
        refusals = set()
        for kind, client in bad.items():
            for verb in (method, *(("HEAD",) if method == "GET" else ())):
                answer = await asked(client, verb, row, row.path(acme))
                assert answer.status_code == 401, (name, kind, answer.text)
                tries += 1
            if kind != "none":
                refusals.add(answer.headers["www-authenticate"])
        assert len(refusals) == 1, f"{name}: what is wrong with a credential is nobody's business"
        weak = world.http(await world.key("acme", SCOPES - {scope}))  # type: ignore[operator]
        answer = await asked(weak, method, row, row.path(acme))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), name
        for stranger in (umbra.http, world.http(world.issuer.token(tenant="umbra", scope=" ".join(SCOPES)))):
            answer = await asked(stranger, method, row, row.path(acme))
            tries += 1
            assert not [secret for secret in acme.own if secret.encode() in answer.content], name
            if row.names:
                absent = template.format(run_id=ABSENT_RUN, conversation_id="nobody", key_id="nobody", chat_id="nobody")
                assert answer.status_code == 404, name
                assert looks(answer) == looks(await asked(stranger, method, row, absent)), name
        answer = await asked(acme.http, method, row, row.path(acme))
        assert answer.status_code in row.good, (name, answer.text)
        assert not [secret for secret in umbra.own if secret.encode() in answer.content], name
        tries += 2
    for name in PUBLIC:
        method, path, _ = listed[name]
        answer = await bad["none"].request(method, path)
        assert answer.status_code == 200
        assert not [secret for secret in (*acme.own, *umbra.own) if secret.encode() in answer.content]
    what = f"credential matrix over {len(listed)} operations"
    record(promise="P10", what=what, n=tries, violations=0, floor="foreign and absent ids byte-equal")


async def test_token_of_the_right_tenant_opens_what_its_key_opens(world: House, both: tuple[Tenant, Tenant]) -> None:
    acme, _ = both
    ada = world.http(world.issuer.token(scope="runs:read"))
    assert (await ada.get(acme.ended["links"]["self"])).status_code == 200
    assert (await ada.post(acme.waiting["links"]["cancel"])).status_code == 403


@ON_BOTH_STORES
async def test_lists_never_show_anothers_however_they_are_paged(world: House, both: tuple[Tenant, Tenant]) -> None:
    acme, umbra = both
    for tenant, other in ((acme, umbra), (umbra, acme)):
        for path in ("/v1/runs?limit=200", "/v1/conversations?limit=200", "/v1/keys?limit=200"):
            text = (await tenant.http.get(path)).text
            assert tenant.own[1] in text or tenant.name in text
            assert not [secret for secret in other.own if secret in text], path
        for place in range(1, 12):
            text = (await tenant.http.get(f"/v1/conversations?before={place}")).text
            assert not [secret for secret in other.own if secret in text]
        theirs = f"/v1/conversations/{tenant.ended['conversation_id']}?before={other.ended['run_id']}"
        answer = await tenant.http.get(theirs)
        assert not [secret for secret in other.own if secret in answer.text]


async def test_cursors_from_elsewhere_show_nothing(world: House, both: tuple[Tenant, Tenant]) -> None:
    """Of ``CURSORS``: half are good ones held against another tenant's run, the rest are forged ones against one's own."""
    acme, umbra = both
    chance = random.Random(SEED)
    page = (await acme.http.get(acme.ended["links"]["events"])).text
    assert acme.marker in page
    events = (await acme.http.get(acme.ended["links"]["events"], headers={"Accept": "application/json"})).json()[
        "events"
    ]
    cursors = [f"{event['seq']}.{event['epoch']}" for event in events]
    head = len(events)
    seen: dict[int, int] = {}
    leaked = 0
    for n in range(CURSORS):
        accept = chance.choice(("text/event-stream", "application/json"))
        if n % 2:
            path, cursor, wanted = acme.ended["links"]["events"], chance.choice(cursors), {404}
        else:
            own = umbra.ended["links"]["events"]
            path, cursor, wanted = chance.choice([
                (own, f"{head + chance.randrange(1, 10**6)}.1", {409}),
                (own, f"{chance.randrange(2, 5)}.{chance.randrange(50, 999)}", {409}),
                (own, chance.choice(["-1", "1.5.2", "1e9", "٣", "9" * 400, "1.", ".1", "0x1", " 1", "1;", "' OR 1=1--", "null"]), {400}),
                (f"/v1/runs/{chance.choice(acme.own[1:])}/events", chance.choice(cursors), {404}),
                (f"/v1/runs/{ABSENT_RUN}/events", chance.choice(cursors), {404}),
            ])  # fmt: skip
        given: dict[str, Any] = {"headers": {"Accept": accept}}
        if chance.random() < 0.5 and cursor.isascii():
            given["headers"]["Last-Event-ID"] = cursor
        else:
            given["params"] = {"after": cursor}
        answer = await umbra.http.get(path, **given)
        assert answer.status_code in wanted, (path, cursor, answer.status_code, answer.text)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        leaked += b"id: " in answer.content or any(secret.encode() in answer.content for secret in acme.own)
    assert min(seen.values()) > CURSORS // 20, seen
    assert leaked == 0
    what = "swapped and forged cursors between runs and tenants"
    record(promise="P10", what=what, n=CURSORS, violations=leaked, seed=SEED, floor=json.dumps(seen))


async def test_a_cursor_of_another_run_is_a_position_and_shows_ones_own_alone(
    world: House, both: tuple[Tenant, Tenant]
) -> None:
    acme, umbra = both
    answer = await umbra.http.get(umbra.ended["links"]["events"], params={"after": "1.0"})
    assert answer.status_code == 200
    assert umbra.ended["run_id"] in answer.text
    assert not [secret for secret in acme.own if secret in answer.text]


@ON_BOTH_STORES
async def test_keys_and_conversations_of_tenants_are_independent(world: House, both: tuple[Tenant, Tenant]) -> None:
    acme, umbra = both
    same = {"input": "Why?", "conversation_id": acme.ended["conversation_id"]}
    headers = {"Idempotency-Key": "the-same"}
    mine = await acme.http.post("/v1/runs", json=same, headers=headers)
    theirs = await umbra.http.post("/v1/runs", json=same, headers=headers)
    assert (mine.status_code, theirs.status_code) == (202, 202)
    assert mine.json()["run_id"] != theirs.json()["run_id"]
    assert (await acme.http.post("/v1/runs", json=same, headers=headers)).json()["run_id"] == mine.json()["run_id"]
    events = await umbra.http.get(theirs.json()["links"]["events"])
    assert acme.marker not in events.text, "what was said in a conversation of that name elsewhere is not known here"
    for run_, tenant in ((mine, acme), (theirs, umbra)):
        await world.until(tenant, run_.json(), ("completed",))
    path = f"/v1/conversations/{acme.ended['conversation_id']}"
    assert (await umbra.http.get(path)).json()["run_count"] == 1
    assert (await acme.http.get(path)).json()["run_count"] == 2
    assert (await umbra.http.delete(path)).status_code == 204
    assert (await acme.http.get(path)).json()["run_count"] == 2


async def test_no_body_makes_a_run_anothers(world: House, both: tuple[Tenant, Tenant]) -> None:
    acme, umbra = both
    for field, value in (
        ("tenant_id", "umbra"),
        ("owner", "umbra"),
        ("epoch", 9),
        ("status", "completed"),
        ("cost", 0),
    ):
        answer = await acme.http.post("/v1/runs", json={"input": "Why?", field: value})
        assert answer.status_code == 422, field
    for name in ("X-Tenant-Id", "Tenant", "X-Headrace-Tenant", "X-Forwarded-User"):
        answer = await acme.http.get("/v1/runs", headers={name: "umbra"})
        assert not [secret for secret in umbra.own if secret in answer.text]
    await world.until(umbra, umbra.waiting, ("waiting",))


async def test_shares_of_tenants_are_their_own(tmp_path: Path) -> None:
    limits = {"small": {"runs_in_flight": 1, "daily_budget_usd": 0.5}}
    async with house(tmp_path, time.time(), tenants=limits) as world:
        small, big = world.http(await world.key("small")), world.http(await world.key("big"))
        many = await asyncio.gather(*[small.post("/v1/runs", json={"input": "Why?"}) for _ in range(8)])
        codes = sorted(answer.status_code for answer in many)
        assert codes[0] == 202
        refused = next(answer for answer in many if answer.status_code == 429)
        assert (refused.json()["code"], refused.json()["retryable"]) == ("too_many_runs", True)
        assert int(refused.headers["retry-after"]) >= 1
        assert (await big.post("/v1/runs", json={"input": "Why?"})).status_code == 202
        stream = await small.post("/v1/runs", json={"input": "Why?"}, headers={"Accept": "text/event-stream"})
        assert stream.status_code in (200, 429), "refused before the stream begins, never in it"


async def test_viewer_is_shown_what_its_own_roles_may_see(tmp_path: Path) -> None:
    async with house(tmp_path, time.time(), model="scripted", modules=("tests.faults.secret_tools",)) as world:
        issuer = world.issuer
        insider, outsider = (world.http(issuer.token(scope=" ".join(SCOPES), roles=roles)) for roles in (["spy"], []))
        for path in ("/v1/tools", "/v1/agents"):
            assert "secret_count" in (await insider.get(path)).text
            assert "secret_count" not in (await outsider.get(path)).text
