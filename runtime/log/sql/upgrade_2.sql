-- From format 2 to format 3: conversations, which can be listed and deleted. Those there were have no title yet.

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

INSERT INTO conversations (tenant_id, conversation_id, created_at, updated_at, place)
SELECT tenant_id, conversation_id, min(created_at), max(created_at), max(n)
FROM runs WHERE conversation_id IS NOT NULL GROUP BY tenant_id, conversation_id;
