"""What settings say of tenants: how their tokens are checked, and how much each may use."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Of signatures that only the issuer can make. None with a shared secret: whoever can check those can also make them."""

TENANT_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""What names of tenants look like; it begins with a letter or digit, since it may become a folder's name."""

TENANT: Final = re.compile(TENANT_ID[:-1] + r"\Z")

TenantId = Annotated[str, Field(pattern=TENANT_ID)]


class TokenRules(BaseModel):
    """Which JSON Web Tokens are taken, and what their claims mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[str, Field(min_length=1)]
    """What ``iss`` must be."""
    audience: Annotated[str, Field(min_length=1)]
    """What ``aud`` must be or hold."""
    keys: Annotated[str, Field(min_length=1)]
    """Where the issuer's public keys (a JWK Set) are: an ``https`` address, or a file. Nothing in a token leads elsewhere."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "PS256", "ES256", "EdDSA")
    tenant_claim: str = "tenant"
    """The claim that names the tenant; a token without it is refused."""
    subject_claim: str = "sub"
    scope_claim: str = "scope"
    """A list, or words with spaces between (RFC 8693); what is no scope of ours is passed over."""
    roles_claim: str = "roles"
    leeway_s: Annotated[float, Field(ge=0, le=60)] = 60.0
    """How far clocks may be apart (SECURITY.md 2.2)."""

    @field_validator("keys")
    @classmethod
    def _safe_address(cls, keys: str) -> str:
        loopback = ("http://127.0.0.1", "http://localhost", "http://[::1]")
        if "://" in keys and not keys.startswith(("https://", *loopback)):
            raise ValueError(f"keys {keys!r} must begin with https://, or name a file")
        return keys


class TenantLimits(BaseModel):
    """What one tenant may use. In ``Settings.tenants`` a field that is left out is as for every tenant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Requests in the long run, at each door."""
    burst: Annotated[int, Field(ge=1)] | None = None
    """Requests at once, at each door."""
    runs_in_flight: Annotated[int, Field(ge=0)] | None = None
    """Runs accepted or running at a time, over all doors; those that wait for people do not count."""
    daily_budget_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """US dollars all its runs created on one day (UTC) may spend on models together."""
