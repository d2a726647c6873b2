"""Tokens as attackers make them (SECURITY.md 1, "Auth"): 401 for each, and never a fetch that a token asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.datastructures import Headers

from runtime.clock import ManualClock
from runtime.errors import StoreUnavailable
from runtime.generator.auth.by_token import Either, TokenAuthenticator
from runtime.generator.auth.issuer import AGAIN_S, FRESH_S, MAX_BYTES, STALE_S, IssuerKeys
from runtime.generator.principal import Fixed, Principal
from runtime.generator.problems import Refusal
from runtime.tenancy import TokenRules
from tests.fakes.issuer import AUDIENCE, ISSUER, Issuer, published

RULES = TokenRules(issuer=ISSUER, audience=AUDIENCE, keys="https://issuer.example/jwks.json")


class Fetched:
    """The set as it is published now, and how often it was read."""

    def __init__(self, raw: bytes) -> None:
        self.raw: bytes | Exception = raw
        self.times = 0

    async def __call__(self) -> bytes:
        self.times += 1
        if isinstance(self.raw, Exception):
            raise self.raw
        return self.raw


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer(ManualClock().now())


@pytest.fixture
def fetched(issuer: Issuer) -> Fetched:
    return Fetched(issuer.key_set())


@pytest.fixture
def authenticate(clock: ManualClock, fetched: Fetched) -> TokenAuthenticator:
    return TokenAuthenticator(RULES, IssuerKeys(RULES.keys, clock, fetched), clock)


def headers(token: str) -> Headers:
    return Headers({"authorization": f"Bearer {token}"})


async def refused(authenticate: Any, token: str) -> None:
    with pytest.raises(Refusal) as caught:
        await authenticate(headers(token))
    assert (caught.value.status, caught.value.code) == (401, "unauthenticated")


@pytest.mark.parametrize(("algorithm", "kid"), [("RS256", "r1"), ("PS256", "r1"), ("ES256", "e1"), ("EdDSA", "d1")])
async def test_token_speaks_for_its_tenant(
    authenticate: TokenAuthenticator, issuer: Issuer, clock: ManualClock, algorithm: str, kid: str
) -> None:
    found = await authenticate(headers(issuer.token(algorithm=algorithm, kid=kid)))
    assert found == Principal(
        "acme", "ada", frozenset({"runs:read", "runs:write"}), frozenset({"support"}), "jwt:acme:ada", clock.now() + 660
    )


async def test_claims_have_the_names_that_are_configured(issuer: Issuer, clock: ManualClock, fetched: Fetched) -> None:
    rules = RULES.model_copy(
        update={"tenant_claim": "org", "subject_claim": "email", "scope_claim": "scp", "roles_claim": "groups"}
    )
    authenticate = TokenAuthenticator(rules, IssuerKeys(RULES.keys, clock, fetched), clock)
    claims = {"org": "umbra", "email": "a@b.example", "scp": ["admin", 5], "groups": "staff x", "scope": "runs:write"}
    found = await authenticate(headers(issuer.token(**claims)))
    assert (found.tenant_id, found.subject, found.scopes) == ("umbra", "a@b.example", frozenset({"admin"}))
    assert found.roles == {"staff", "x"}


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"}, {"iss": None}, {"iss": [ISSUER]}, {"aud": "other"}, {"aud": None}, {"aud": []},
        {"exp": None}, {"exp": "soon"}, {"exp": True}, {"exp": 1e400}, {"nbf": "x"},
        {"tenant": None}, {"tenant": ""}, {"tenant": 5}, {"tenant": "a/b"}, {"tenant": ".."}, {"tenant": "a\n"},
        {"tenant": "x" * 65}, {"sub": None}, {"sub": ""}, {"sub": "a\nb"}, {"sub": "x" * 201},
    ],
    ids=repr,
)  # fmt: skip
async def test_claims_that_do_not_fit(
    authenticate: TokenAuthenticator, issuer: Issuer, changes: dict[str, Any]
) -> None:
    await refused(authenticate, issuer.token(**changes))


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"exp": -59}, True), ({"exp": -61}, False), ({"nbf": 59}, True), ({"nbf": 61}, False), ({"iat": 61}, False),
    ],
)  # fmt: skip
async def test_clocks_may_be_a_minute_apart(
    authenticate: TokenAuthenticator, issuer: Issuer, changes: dict[str, float], good: bool
) -> None:
    token = issuer.token(**{name: issuer.now + by for name, by in changes.items()})
    if good:
        await authenticate(headers(token))
    else:
        await refused(authenticate, token)


def test_no_more_than_a_minute_can_be_configured() -> None:
    with pytest.raises(ValueError):
        TokenRules(issuer=ISSUER, audience=AUDIENCE, keys="https://a.example", leeway_s=61)
    with pytest.raises(ValueError):
        TokenRules(issuer=ISSUER, audience=AUDIENCE, keys="https://a.example", algorithms=("HS256",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="https"):
        TokenRules(issuer=ISSUER, audience=AUDIENCE, keys="http://a.example/keys")


async def test_forged_signatures(authenticate: TokenAuthenticator, issuer: Issuer) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    good = issuer.token()
    head, payload, signature = good.split(".")
    forged = [
        issuer.forged({"alg": "none"}), issuer.forged({"alg": "None", "kid": "r1"}), issuer.forged({}),
        issuer.forged({"alg": "HS256", "kid": "r1"}, issuer.public_pem()),
        issuer.forged({"alg": "HS256", "kid": "o1"}, b"s" * 32),
        issuer.token(key=stranger), issuer.token(algorithm="ES256", kid="r1"), issuer.token(kid="e1"),
        f"{head}.{payload}.", f"{head}.{payload}", f"{head}..{signature}", f"{good}x", f"{head}.{payload}.{signature[:-4]}AAAA",
        issuer.forged({"alg": ["RS256"], "kid": "r1"}), issuer.forged({"alg": "RS256", "kid": 5}), "a.b.c", "..", "é",
    ]  # fmt: skip
    for token in forged:
        await refused(authenticate, token)
    await authenticate(headers(good))


async def test_without_a_kid_only_a_single_key_counts(issuer: Issuer, clock: ManualClock, fetched: Fetched) -> None:
    authenticate = TokenAuthenticator(RULES, IssuerKeys(RULES.keys, clock, fetched), clock)
    await refused(authenticate, issuer.token(kid=None))
    fetched.raw = json.dumps({"keys": json.loads(issuer.key_set())["keys"][:1]}).encode()
    clock.advance(AGAIN_S)
    await authenticate(headers(issuer.token(kid=None)))


async def test_unknown_kids_cause_one_reading_in_a_while(
    authenticate: TokenAuthenticator, issuer: Issuer, fetched: Fetched, clock: ManualClock
) -> None:
    await authenticate(headers(issuer.token()))
    for n in range(1000):
        await refused(authenticate, issuer.token(algorithm="ES256", kid=f"k{n}"))
    assert fetched.times == 1
    clock.advance(AGAIN_S)
    for n in range(100):
        await refused(authenticate, issuer.token(algorithm="ES256", kid=f"k{n}"))
    assert fetched.times == 2


async def test_nothing_in_a_token_is_fetched(issuer: Issuer, clock: ManualClock) -> None:
    stranger = Issuer(issuer.now)
    async with published(stranger.key_set()) as (evil, asked_there), published(issuer.key_set()) as (good, asked_here):
        authenticate = TokenAuthenticator(RULES, IssuerKeys(f"{good}/jwks", clock), clock)
        for name in ("jku", "x5u", "jwk", "kid", "iss"):
            token = jwt.encode(stranger.claims(), stranger.rsa, "RS256", headers={"kid": "r1", name: f"{evil}/set"})
            await refused(authenticate, token)
        jwk = json.loads(stranger.key_set())["keys"][0]
        await refused(
            authenticate, jwt.encode(stranger.claims(), stranger.rsa, "RS256", headers={"jwk": jwk, "kid": "r1"})
        )
        await authenticate(headers(issuer.token()))
    assert asked_there == []
    assert set(asked_here) == {"/jwks"}


async def test_key_that_was_taken_back_opens_nothing_after_a_while(
    authenticate: TokenAuthenticator, issuer: Issuer, fetched: Fetched, clock: ManualClock
) -> None:
    token = issuer.token(exp=issuer.now + 10_000)
    await authenticate(headers(token))
    fetched.raw = Issuer(issuer.now).key_set()
    clock.advance(FRESH_S - 1)
    await authenticate(headers(token))
    clock.advance(1)
    await refused(authenticate, token)


async def test_set_that_cannot_be_read_leaves_the_old_one_in_force_for_hours(
    authenticate: TokenAuthenticator, issuer: Issuer, fetched: Fetched, clock: ManualClock
) -> None:
    token = issuer.token(exp=issuer.now + 100_000)
    await authenticate(headers(token))
    fetched.raw = OSError("no route")
    clock.advance(FRESH_S)
    for _ in range(50):
        await authenticate(headers(token))
    assert fetched.times == 2
    clock.advance(STALE_S - FRESH_S)
    with pytest.raises(StoreUnavailable):
        await authenticate(headers(token))


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', b"\xff"]
)
async def test_without_keys_nobody_can_say(issuer: Issuer, clock: ManualClock, raw: bytes) -> None:
    authenticate = TokenAuthenticator(RULES, IssuerKeys(RULES.keys, clock, Fetched(raw)), clock)
    with pytest.raises(StoreUnavailable):
        await authenticate(headers(issuer.token()))


async def test_keys_may_be_in_a_file(tmp_path: Path, issuer: Issuer, clock: ManualClock) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(issuer.key_set())
    keys = IssuerKeys(str(path), clock)
    assert await keys.count() == 3
    await TokenAuthenticator(RULES, keys, clock)(headers(issuer.token()))


async def test_endless_set_is_not_read_to_its_end(clock: ManualClock) -> None:
    async with published(b" " * (MAX_BYTES + 1)) as (url, _):
        with pytest.raises(StoreUnavailable, match="longer than"):
            await IssuerKeys(url, clock).count()


@pytest.fixture
def both(authenticate: TokenAuthenticator) -> Either:
    return Either(Fixed(Principal("keys", "k", frozenset())), authenticate)


async def test_keys_and_tokens_side_by_side(both: Either, issuer: Issuer) -> None:
    assert (await both(headers("hr_a." + "A" * 43))).tenant_id == "keys"
    assert (await both(headers(issuer.token()))).tenant_id == "acme"
    await refused(both, "neither")
