-- Results of steps, for reuse by other executions of the same definition.
CREATE TABLE results (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    execution TEXT NOT NULL,  -- that which made it; not a reference, for the result is as good without it
    made_at INTEGER NOT NULL,
    expires_at INTEGER,  -- NULL: never
    value BLOB NOT NULL
) STRICT;

CREATE INDEX results_expiry ON results (expires_at) WHERE expires_at IS NOT NULL;
