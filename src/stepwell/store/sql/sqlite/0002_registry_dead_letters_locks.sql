ALTER TABLE executions ADD COLUMN parent TEXT;  -- of a sub-workflow: `{execution}/{step}`
ALTER TABLE executions ADD COLUMN forked_from TEXT;

CREATE INDEX executions_parent ON executions (parent) WHERE parent IS NOT NULL;

-- Versions of workflows under their names. What one says is the definition with its digest, for ever.
CREATE TABLE registrations (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES definitions,
    lifecycle TEXT NOT NULL CHECK (lifecycle IN ('draft', 'active', 'deprecated', 'retired')),
    tags TEXT NOT NULL,  -- a JSON array
    is_chosen INTEGER NOT NULL CHECK (is_chosen IN (0, 1)),  -- as the default of its name
    log TEXT NOT NULL,  -- a JSON array: what was done to it, when, by whom and why
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX registrations_chosen ON registrations (name) WHERE is_chosen = 1;
CREATE INDEX registrations_digest ON registrations (digest);

CREATE TABLE dead_letters (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: lists go on behind one
    id TEXT NOT NULL UNIQUE,
    execution TEXT NOT NULL REFERENCES executions (id),
    workflow TEXT NOT NULL,
    version TEXT NOT NULL,
    step TEXT NOT NULL,
    at INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('step', 'compensation')),
    error_type TEXT NOT NULL,
    error TEXT NOT NULL,  -- a JSON object
    input BLOB,
    discarded TEXT  -- a JSON object: when, by whom and why; NULL: something is to be done about it
) STRICT;

CREATE INDEX dead_letters_execution ON dead_letters (execution);

-- Locks that executions share: who holds one, and who stands in line for it.
CREATE TABLE locks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of the line
    name TEXT NOT NULL,
    execution INTEGER NOT NULL REFERENCES executions,
    step TEXT NOT NULL,  -- '': the execution as a whole
    slots INTEGER NOT NULL CHECK (slots > 0),  -- how many may hold it at once, as this one asked
    since INTEGER NOT NULL,
    held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),
    UNIQUE (name, execution, step)
) STRICT;

CREATE INDEX locks_line ON locks (name, held, number);
CREATE INDEX locks_execution ON locks (execution);
