-- From format 1 to format 2: waiting runs, budgets, and which start of the machine it was.

ALTER TABLE store ADD COLUMN boot_id TEXT NOT NULL DEFAULT '';

ALTER TABLE runs ADD COLUMN wake_at REAL;
ALTER TABLE runs ADD COLUMN budget INTEGER;
ALTER TABLE runs ADD COLUMN day_budget INTEGER;
ALTER TABLE runs ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN spent INTEGER NOT NULL DEFAULT 0;

CREATE TABLE ledger (
    tenant_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, day)
) STRICT, WITHOUT ROWID;
