-- What Headrace keeps, in format 3 (FORMAT_VERSION in runtime/log/log.py; also in the file's user_version).

CREATE TABLE store (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    store_epoch INTEGER NOT NULL,             -- +1 with each opening; a process that finds another number has been replaced
    boot_id TEXT NOT NULL DEFAULT ''          -- of the machine at the last opening; another one: power may have been lost
) STRICT;

CREATE TABLE runs (
    n INTEGER PRIMARY KEY,                    -- in order of creation
    run_id TEXT NOT NULL UNIQUE,
    tenant_id TEXT NOT NULL,
    conversation_id TEXT,
    question TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('accepted', 'running', 'waiting', 'completed', 'failed', 'cancelled', 'expired')),
    epoch INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    owner TEXT,
    created_at REAL NOT NULL,
    deadline_at REAL NOT NULL,
    cancel_requested INTEGER NOT NULL,
    on_disconnect TEXT NOT NULL,
    grace_s REAL NOT NULL,
    takeovers INTEGER NOT NULL,
    wake_at REAL,
    budget INTEGER,                           -- this and the next three: millionths of a US dollar
    day_budget INTEGER,
    reserved INTEGER NOT NULL DEFAULT 0,
    spent INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX runs_of_tenant ON runs (tenant_id, n);

-- Unfinished runs are few; claims and renewals look at nothing else.
CREATE INDEX runs_unfinished ON runs (owner) WHERE status IN ('accepted', 'running', 'waiting');

CREATE UNIQUE INDEX one_unfinished_run_per_conversation ON runs (tenant_id, conversation_id)
    WHERE conversation_id IS NOT NULL AND status IN ('accepted', 'running', 'waiting');

CREATE INDEX runs_of_conversation ON runs (tenant_id, conversation_id, n) WHERE conversation_id IS NOT NULL;

CREATE TABLE conversations (
    tenant_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    title TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    place INTEGER NOT NULL,                   -- n of its newest run
    deleted INTEGER NOT NULL DEFAULT 0,       -- 1: its id is not used again
    PRIMARY KEY (tenant_id, conversation_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX conversations_by_place ON conversations (tenant_id, place) WHERE NOT deleted;

CREATE TABLE deleted_runs (                   -- whose ids are not used again
    run_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    type TEXT NOT NULL,
    family TEXT NOT NULL,
    stage TEXT,
    body BLOB NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT;                                     -- with rowid: many runs' events land on the same few pages, a third cheaper

-- The code never writes a second terminal event; should it ever try, the transaction fails.
CREATE UNIQUE INDEX one_terminal_event_per_run ON events (run_id)
    WHERE type IN ('run.completed', 'run.failed', 'run.cancelled', 'run.expired');

CREATE TABLE publishers (
    run_id TEXT NOT NULL,
    publisher TEXT NOT NULL,
    last_pub_seq INTEGER NOT NULL,
    PRIMARY KEY (run_id, publisher)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (                         -- the sums of the runs above, by the day of their creation
    tenant_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE executors (
    executor TEXT PRIMARY KEY,
    lease_expires_at REAL NOT NULL            -- 0: revoked; the name never lives again
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    tenant_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    run_id TEXT NOT NULL,
    hash TEXT,
    created_at REAL NOT NULL,
    PRIMARY KEY (tenant_id, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (created_at);
