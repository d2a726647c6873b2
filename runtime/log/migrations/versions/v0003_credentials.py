"""API keys: format 4 of ``runtime/log/sql/schema.sql``."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE headrace.credentials (
    key_id text NOT NULL PRIMARY KEY,
    tenant_id text NOT NULL,
    name text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    roles text[] NOT NULL,
    created_at double precision NOT NULL,
    expires_at double precision,
    revoked_at double precision
);

COMMENT ON COLUMN headrace.credentials.secret_hash IS 'SHA-256; the secret itself is shown once and not kept';

CREATE INDEX credentials_of_tenant ON headrace.credentials (tenant_id, created_at);
"""


def upgrade() -> None:
    op.execute(TABLES)
