"""Conversations, which can be listed and deleted: format 3 of ``runtime/log/sql/schema.sql``.

Those there were have no title yet; the next run of theirs is asked for one.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE INDEX runs_of_conversation ON headrace.runs (tenant_id, conversation_id, n) WHERE conversation_id IS NOT NULL;

CREATE TABLE headrace.conversations (
    tenant_id text NOT NULL,
    conversation_id text NOT NULL,
    title text,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    place bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, conversation_id)
) WITH (fillfactor = 80);

COMMENT ON COLUMN headrace.conversations.place IS 'n of its newest run';
COMMENT ON COLUMN headrace.conversations.deleted IS 'its id is not used again';

CREATE INDEX conversations_by_place ON headrace.conversations (tenant_id, place) WHERE NOT deleted;

CREATE TABLE headrace.deleted_runs (
    run_id text NOT NULL PRIMARY KEY
);

COMMENT ON TABLE headrace.deleted_runs IS 'whose ids are not used again';

INSERT INTO headrace.conversations (tenant_id, conversation_id, created_at, updated_at, place)
SELECT tenant_id, conversation_id, min(created_at), max(created_at), max(n)
FROM headrace.runs WHERE conversation_id IS NOT NULL GROUP BY tenant_id, conversation_id;
"""


def upgrade() -> None:
    op.execute(TABLES)
