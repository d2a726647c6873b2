-- From format 3 to format 4: API keys.

CREATE TABLE credentials (                    -- API keys
    key_id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    secret_hash BLOB NOT NULL,                -- SHA-256; the secret itself is shown once and not kept
    scopes TEXT NOT NULL,                     -- words; so are roles
    roles TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    revoked_at REAL
) STRICT, WITHOUT ROWID;

CREATE INDEX credentials_of_tenant ON credentials (tenant_id, created_at);
