"""Runs, their events, and all that fences and accounts for them: format 2 of ``runtime/log/sql/schema.sql``.

Times are seconds since 1970, UTC, as everywhere in Headrace; money is in millionths of a US dollar; bodies are the bytes
as they were sent, not ``jsonb``, which refuses ``\\u0000`` and would change them.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE headrace.store (
    only_one integer PRIMARY KEY CHECK (only_one = 1),
    history text NOT NULL
);

COMMENT ON COLUMN headrace.store.history IS 'the server and timeline last written to; on another one the end may be lost';

INSERT INTO headrace.store (only_one, history) VALUES (1, '');

CREATE TABLE headrace.runs (
    n bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    run_id text NOT NULL PRIMARY KEY,
    tenant_id text NOT NULL,
    conversation_id text,
    question text NOT NULL,
    status text NOT NULL
        CHECK (status IN ('accepted', 'running', 'waiting', 'completed', 'failed', 'cancelled', 'expired')),
    epoch bigint NOT NULL,
    last_seq bigint NOT NULL,
    owner text,
    created_at double precision NOT NULL,
    deadline_at double precision NOT NULL,
    cancel_requested boolean NOT NULL,
    on_disconnect text NOT NULL,
    grace_s double precision NOT NULL,
    takeovers bigint NOT NULL,
    wake_at double precision,
    budget bigint,
    day_budget bigint,
    reserved bigint NOT NULL DEFAULT 0,
    spent bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

COMMENT ON COLUMN headrace.runs.n IS 'in order of creation';

CREATE INDEX runs_of_tenant ON headrace.runs (tenant_id, n);

CREATE INDEX runs_unfinished ON headrace.runs (owner) WHERE status IN ('accepted', 'running', 'waiting');

CREATE UNIQUE INDEX one_unfinished_run_per_conversation ON headrace.runs (tenant_id, conversation_id)
    WHERE conversation_id IS NOT NULL AND status IN ('accepted', 'running', 'waiting');

CREATE TABLE headrace.events (
    run_id text NOT NULL,
    seq bigint NOT NULL,
    epoch bigint NOT NULL,
    type text NOT NULL,
    family text NOT NULL,
    stage text,
    body bytea NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE UNIQUE INDEX one_terminal_event_per_run ON headrace.events (run_id)
    WHERE type IN ('run.completed', 'run.failed', 'run.cancelled', 'run.expired');

CREATE TABLE headrace.publishers (
    run_id text NOT NULL,
    publisher text NOT NULL,
    last_pub_seq bigint NOT NULL,
    PRIMARY KEY (run_id, publisher)
) WITH (fillfactor = 80);

CREATE TABLE headrace.ledger (
    tenant_id text NOT NULL,
    day bigint NOT NULL,
    reserved bigint NOT NULL,
    spent bigint NOT NULL,
    PRIMARY KEY (tenant_id, day)
) WITH (fillfactor = 50);

COMMENT ON TABLE headrace.ledger IS 'sums of the runs, by the day (since 1970, UTC) of their creation';

CREATE TABLE headrace.executors (
    executor text NOT NULL PRIMARY KEY,
    lease_expires_at double precision NOT NULL
) WITH (fillfactor = 50);

COMMENT ON COLUMN headrace.executors.lease_expires_at IS '0: revoked; the name never lives again';

CREATE TABLE headrace.idempotency (
    tenant_id text NOT NULL,
    idempotency_key text NOT NULL,
    run_id text NOT NULL,
    hash text,
    created_at double precision NOT NULL,
    PRIMARY KEY (tenant_id, idempotency_key)
);

CREATE INDEX idempotency_by_age ON headrace.idempotency (created_at);
"""


def upgrade() -> None:
    op.execute(TABLES)
