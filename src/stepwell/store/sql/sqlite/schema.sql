-- The whole schema as all migrations together make it: for reading, and for the test that they do.

CREATE TABLE migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_by TEXT NOT NULL  -- the version of stepwell, so that an older one can say which is needed
) STRICT;

CREATE TABLE definitions (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    dialect TEXT NOT NULL,
    source_name TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE shards (
    shard INTEGER PRIMARY KEY CHECK (shard >= 0),
    fence INTEGER NOT NULL CHECK (fence > 0),  -- only ever grows
    owner TEXT,  -- NULL: given up
    expires_at INTEGER NOT NULL,
    wake_port INTEGER CHECK (wake_port BETWEEN 1 AND 65535),  -- where the owner is woken; NULL: it cannot be
    host TEXT NOT NULL,
    machine TEXT,                              -- within which pid and started say whether the owner's process lives
    pid INTEGER NOT NULL,
    started TEXT
) STRICT;

CREATE TABLE executions (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    shard INTEGER NOT NULL REFERENCES shards,
    workflow TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    start_key TEXT,
    tags TEXT NOT NULL,  -- a JSON array
    status TEXT NOT NULL,
    hot INTEGER NOT NULL CHECK (hot IN (0, 1)),
    wake_at INTEGER,
    started_at INTEGER,
    finished_at INTEGER,
    error TEXT,
    parent TEXT,  -- of a sub-workflow: `{execution}/{step}`
    forked_from TEXT
) STRICT;

CREATE UNIQUE INDEX executions_start_key ON executions (start_key) WHERE start_key IS NOT NULL;
CREATE INDEX executions_hot ON executions (shard) WHERE hot = 1;
CREATE INDEX executions_unfinished ON executions (shard) WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX executions_wake ON executions (shard, wake_at) WHERE wake_at IS NOT NULL AND hot = 0;
CREATE INDEX executions_created ON executions (created_at);
CREATE INDEX executions_parent ON executions (parent) WHERE parent IS NOT NULL;
CREATE INDEX executions_finished ON executions (finished_at) WHERE finished_at IS NOT NULL;

-- Rows are added at the end, whichever execution they belong to, and found through the index. Were the table itself
-- ordered by execution, a commit for a hundred executions would rewrite a hundred pages; so it rewrites a few.
-- There is no foreign key: checking it costs every step, and `check` finds what it would prevent.
CREATE TABLE history (
    number INTEGER PRIMARY KEY,
    execution INTEGER NOT NULL,
    seq INTEGER NOT NULL,  -- of the last event in the row
    events BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX history_order ON history (execution, seq);

CREATE TABLE snapshots (
    execution INTEGER PRIMARY KEY REFERENCES executions,
    seq INTEGER NOT NULL,
    state BLOB NOT NULL
) STRICT;

CREATE TABLE waits (
    event_type TEXT NOT NULL,
    key INTEGER NOT NULL,
    execution INTEGER NOT NULL REFERENCES executions,
    step TEXT NOT NULL,
    PRIMARY KEY (event_type, key, execution, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    keep_until INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (source, id)
) STRICT;

CREATE INDEX events_keep_until ON events (keep_until);

-- Under which keys a wait that begins later looks for an event.
CREATE TABLE event_keys (
    event_type TEXT NOT NULL,
    key INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    event INTEGER NOT NULL REFERENCES events ON DELETE CASCADE,
    PRIMARY KEY (event_type, key, received_at, event)
) STRICT, WITHOUT ROWID;

CREATE INDEX event_keys_event ON event_keys (event);

CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: an owner asks for what came after the last it saw
    shard INTEGER NOT NULL,
    kind TEXT NOT NULL,
    execution TEXT,
    step TEXT,
    payload BLOB,
    event INTEGER REFERENCES events,  -- whose body is the payload, stored once however many wait for it
    CHECK ((payload IS NULL) <> (event IS NULL))
) STRICT;

CREATE INDEX inbox_shard ON inbox (shard);
CREATE INDEX inbox_event ON inbox (event) WHERE event IS NOT NULL;

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
    told INTEGER NOT NULL DEFAULT 0 CHECK (told IN (0, 1)),  -- to make room for another
    UNIQUE (name, execution, step)
) STRICT;

CREATE INDEX locks_line ON locks (name, held, number);
CREATE INDEX locks_execution ON locks (execution);

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

-- What a server keeps beside executions: schedules, keys, subscriptions and the like, each of a kind.
CREATE TABLE documents (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    body BLOB NOT NULL,
    due_at INTEGER,  -- NULL: never
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX documents_due ON documents (kind, due_at) WHERE due_at IS NOT NULL;

-- The highest revision that was deleted, of each kind. A new document begins behind it, so that no key sees a revision
-- twice, and not every deleted document has to leave a row for ever.
CREATE TABLE deleted_documents (
    kind TEXT PRIMARY KEY,
    revision INTEGER NOT NULL CHECK (revision > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: readers go on behind one
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    hash BLOB CHECK (length(hash) = 32)  -- NULL: not chained
) STRICT;

-- Every index ends with the number.
CREATE INDEX journal_kind ON journal (kind);
CREATE INDEX journal_subject ON journal (kind, subject);
CREATE INDEX journal_at ON journal (kind, at);

-- Where the chain of each kind ends.
CREATE TABLE chains (
    kind TEXT PRIMARY KEY,
    length INTEGER NOT NULL CHECK (length > 0),
    number INTEGER NOT NULL REFERENCES journal,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;

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
