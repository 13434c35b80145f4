-- The engines that share shards out among them, and say every few seconds that they are there.
CREATE TABLE nodes (
    name TEXT PRIMARY KEY,
    shards INTEGER NOT NULL CHECK (shards > 0),  -- so many are shared out
    since INTEGER NOT NULL,
    leaving INTEGER NOT NULL CHECK (leaving IN (0, 1)),
    expires_at INTEGER NOT NULL,
    about BLOB NOT NULL,
    wake_port INTEGER CHECK (wake_port BETWEEN 1 AND 65535),
    host TEXT NOT NULL,
    machine TEXT,  -- as in shards
    pid INTEGER NOT NULL,
    started TEXT
) STRICT, WITHOUT ROWID;
