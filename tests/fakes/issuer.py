"""An issuer of tokens: its keys, its published set, tokens good and bad, and a server that counts who asks for the set."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://issuer.example"
AUDIENCE = "headrace"


class Issuer:
    """One RSA key and one on a curve; ``now`` is the time its tokens are made at."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of a good token; None takes a claim away."""
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "tenant": "acme", "scope": "openid runs:read runs:write",
            "roles": ["support"], "iat": self.now, "exp": self.now + 600, **changes,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, algorithm: str = "RS256", kid: str | None = "r1", key: Any = None, **claims: Any) -> str:
        """A token; good unless something is asked for."""
        own = {"RS256": self.rsa, "PS256": self.rsa, "ES256": self.ec, "EdDSA": self.ed}
        headers = {"kid": kid} if kid is not None else {}
        payload = json.dumps(self.claims(**claims)).encode()  # not jwt.encode: it refuses what attackers would not
        return jwt.api_jws.PyJWS().encode(payload, key or own[algorithm], algorithm, headers=headers)

    def forged(self, header: dict[str, Any], secret: bytes | None = None, **claims: Any) -> str:
        """A token with any header, signed with HMAC, or not at all."""
        if secret is None:
            parts = [json.dumps(header).encode(), json.dumps(self.claims(**claims)).encode()]
            return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
        signing = jwt.api_jws.PyJWS().get_algorithm_by_name("HS256")
        unsigned = self.forged(header, **claims).removesuffix(".")
        signature = base64.urlsafe_b64encode(signing.sign(unsigned.encode(), secret)).rstrip(b"=").decode()
        return f"{unsigned}.{signature}"

    def public_pem(self) -> bytes:
        """What an attacker knows of the RSA key."""
        return self.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def key_set(self) -> bytes:
        """What it publishes."""
        keys = [
            {**jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True), "kid": "r1", "use": "sig"},
            {**jwt.algorithms.ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True), "kid": "e1", "alg": "ES256"},
            {**jwt.algorithms.OKPAlgorithm.to_jwk(self.ed.public_key(), as_dict=True), "kid": "d1"},
            {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "kid": "o1", "alg": "HS256"},
        ]
        return json.dumps({"keys": keys}).encode()


@asynccontextmanager
async def published(body: bytes) -> AsyncIterator[tuple[str, list[str]]]:
    """The set at an address, and a list that grows with everyone who asks for anything there."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b" ")[1].decode())
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
