"""``/v1/keys``: make, list, revoke and rotate API keys. An administrator's are the keys of its own tenant, the operator's all."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from runtime.clock import Clock
from runtime.errors import NotFound
from runtime.generator.accept import JSON
from runtime.generator.body import parse_json, read_body, validate
from runtime.generator.contract import Body
from runtime.generator.operations import Answer, Operation, Parameter
from runtime.generator.principal import DEFAULT_TENANT, Principal, Scope, principal_of
from runtime.generator.problems import Refusal
from runtime.generator.query import limit_of
from runtime.generator.respond import NO_STORE, as_json
from runtime.log.credentials import Credentials, Key, RandomBytes, new_key
from runtime.tenancy import TenantId

MAX_KEYS: Final = 200
"""In one list."""
LONGEST_S: Final = 10 * 366 * 86400.0
ROTATION_S: Final = 86400.0
"""How long a rotated key still opens."""

Role = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]*$")]


class CreateKey(Body):
    """A key to be made."""

    name: Name
    """What people call it; what it does is told under this name."""
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)] = ["runs:read", "runs:write", "runs:cancel"]
    roles: Annotated[list[Role], Field(max_length=64)] = []
    """Which of the tools' calls it is shown."""
    expires_in_s: Annotated[float, Field(gt=0, le=LONGEST_S)] | None = None
    """None: it does not expire."""
    tenant_id: TenantId | None = None
    """Whose it is; another than one's own is for the operator."""


class RotateKey(Body):
    """A key to be replaced."""

    keep_s: Annotated[float, Field(ge=0, le=30 * 86400.0)] = ROTATION_S
    """How long the old one still opens."""


class KeyView(Body):
    """A key, without its secret."""

    key_id: str
    tenant_id: str
    name: str
    scopes: list[str]
    roles: list[str]
    created_at: float
    expires_at: float | None
    revoked_at: float | None


class NewKey(KeyView):
    """A key that was just made."""

    key: str
    """The whole of it, shown this once."""


class KeyList(Body):
    """The newest keys first."""

    keys: list[KeyView]


class KeyRoutes:
    """What can be asked about keys. Raises the errors of ``runtime.errors`` and ``Refusal``."""

    def __init__(
        self, credentials: Credentials, clock: Clock, *, max_body_bytes: int, random: RandomBytes = secrets.token_bytes
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._random = random

    async def create(self, request: Request) -> ASGIApp:
        """``POST /v1/keys``: 201 with the key, whole."""
        body = validate(CreateKey, parse_json(await read_body(request, max_bytes=self._max_body_bytes)))
        principal = principal_of(request)
        tenant_id = body.tenant_id or _own(principal)
        if tenant_id != principal.tenant_id and not principal.operator:
            raise Refusal(403, "forbidden", "Keys of another tenant are the operator's to make.")
        now = self._clock.now()
        ends = None if body.expires_in_s is None else now + body.expires_in_s
        return await self._made(request, tenant_id, body.name, tuple(body.scopes), tuple(body.roles), now, ends)

    async def list(self, request: Request) -> ASGIApp:
        """``GET /v1/keys``."""
        limit, principal = limit_of(request, default=MAX_KEYS, most=MAX_KEYS), principal_of(request)
        tenant_id = None if principal.operator else principal.tenant_id
        found = await self._credentials.keys(tenant_id=tenant_id, limit=limit)
        return as_json(KeyList(keys=[KeyView(**_shown(key)) for key in found]))

    async def revoke(self, request: Request) -> ASGIApp:
        """``DELETE /v1/keys/{key_id}``: 204, also the second time."""
        key = await self._key(request)
        await self._credentials.revoke_key(key.key_id, self._clock.now())
        return Response(status_code=204, headers=NO_STORE)

    async def rotate(self, request: Request) -> ASGIApp:
        """``POST /v1/keys/{key_id}/rotate``: 201 with one like it; the old one ends after a while."""
        old = await self._key(request)
        body = validate(RotateKey, parse_json(await read_body(request, max_bytes=self._max_body_bytes)))
        now = self._clock.now()
        if not old.live(now):
            raise Refusal(409, "key_ended", "That key has ended; make a new one.")
        ends = None if old.expires_at is None else now + (old.expires_at - old.created_at)
        made = await self._made(request, old.tenant_id, old.name, old.scopes, old.roles, now, ends)
        await self._credentials.expire_key(old.key_id, now + body.keep_s)
        return made

    def operations(self) -> tuple[Operation, ...]:
        """For the table of the application."""
        key_id = Parameter("key_id", "path", "The key.", {"type": "string", "pattern": "^[a-z0-9]{1,32}$"})
        limit = Parameter("limit", "query", "How many.", {"type": "integer", "minimum": 1, "maximum": MAX_KEYS})
        made = Answer(201, "The key; its secret is shown this once.", {JSON: NewKey})
        listed = Answer(200, "The newest first, without their secrets.", {JSON: KeyList})
        revoked = Answer(204, "It opens nothing any more, within 5 seconds.", {})
        path, body = "/v1/keys/{key_id}", (408, 413, 415, 422, 503)
        return (
            Operation(
                "POST", "/v1/keys", "createKey", "Make a key", "admin", self.create, (made,), body, (), CreateKey
            ),
            Operation(
                "GET", "/v1/keys", "listKeys", "The keys", "admin", self.list, (listed,), (503,), (limit,)
            ),
            Operation(
                "DELETE", path, "revokeKey", "End a key", "admin", self.revoke, (revoked,), (404, 503), (key_id,)
            ),
            Operation(
                "POST", path + "/rotate", "rotateKey", "Replace a key", "admin", self.rotate, (made,),
                (*body, 404, 409), (key_id,), RotateKey,
            ),
        )  # fmt: skip

    async def _made(
        self, request: Request, tenant_id: str, name: str, scopes: tuple[str, ...], roles: tuple[str, ...],
        now: float, ends: float | None,
    ) -> Response:  # fmt: skip
        key, text = new_key(
            tenant_id=tenant_id, name=name, scopes=scopes, roles=roles, now=now, expires_at=ends, random=self._random
        )
        await self._credentials.add_key(key)
        request.state.about = {"key": key.key_id, "of": tenant_id}
        return as_json(NewKey(**_shown(key), key=text), 201)

    async def _key(self, request: Request) -> Key:
        """The key in the path. Whatever is wrong with the id, the answer is the same."""
        principal = principal_of(request)
        key = await self._credentials.key(request.path_params["key_id"])
        if key is None or (key.tenant_id != principal.tenant_id and not principal.operator):
            raise NotFound("no such key")
        return key


def _own(principal: Principal) -> str:
    """The tenant that the operator means where it names none."""
    return DEFAULT_TENANT if principal.operator else principal.tenant_id


def _shown(key: Key) -> dict[str, Any]:  # Any: of the fields of KeyView
    return {
        "key_id": key.key_id,
        "tenant_id": key.tenant_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "roles": list(key.roles),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
