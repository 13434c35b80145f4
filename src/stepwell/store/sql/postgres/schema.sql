CREATE TABLE migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_by TEXT NOT NULL  -- the version of stepwell, so that an older one can say which is needed
);

-- Who writes: one connection after another of one process. The epoch rises whenever a shard is taken from it, so that
-- an append needs no more than this one row to know that all its fences still hold.
CREATE TABLE writers (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch BIGINT NOT NULL DEFAULT 0,
    since TIMESTAMPTZ NOT NULL DEFAULT now()  -- what processes that were killed leave here is deleted after a while
);

-- What each writer has committed last. A writer whose connection breaks in a commit looks here whether it took effect.
-- Rows are added and deleted, never changed: while a backup reads, the many versions of a changed row would have to be
-- read through each time.
CREATE TABLE commits (
    writer BIGINT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (writer, number)
);

CREATE TABLE shards (
    shard INTEGER PRIMARY KEY CHECK (shard >= 0),
    fence BIGINT NOT NULL CHECK (fence > 0),  -- only ever grows
    owner TEXT COLLATE "C",  -- NULL: given up
    expires_at BIGINT NOT NULL,
    writer BIGINT,                -- by which the owner appends
    host TEXT COLLATE "C" NOT NULL,
    machine TEXT COLLATE "C",     -- within which pid and started say whether the owner's process lives
    pid INTEGER NOT NULL,
    started TEXT COLLATE "C"
);

CREATE INDEX shards_writer ON shards (writer) WHERE writer IS NOT NULL;

-- Engines that share shards out among them.
CREATE TABLE nodes (
    name TEXT COLLATE "C" PRIMARY KEY,
    shards INTEGER NOT NULL,
    since BIGINT NOT NULL,
    leaving BOOLEAN NOT NULL,
    about BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    host TEXT COLLATE "C" NOT NULL,
    machine TEXT COLLATE "C",
    pid INTEGER NOT NULL,
    started TEXT COLLATE "C"
);

-- A store takes a block of keys at a time.
CREATE SEQUENCE execution_keys INCREMENT BY 1000 MINVALUE 1;

-- There are no foreign keys between executions and what belongs to them: checking them costs every step, and `check`
-- finds what they would prevent.
CREATE TABLE executions (
    key BIGINT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    wake_at BIGINT,
    started_at BIGINT,
    finished_at BIGINT,
    shard INTEGER NOT NULL,
    hot BOOLEAN NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    workflow TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    tags TEXT[] COLLATE "C" NOT NULL,
    start_key TEXT COLLATE "C",
    start_digest BYTEA,     -- of the start key, which may be longer than an index takes
    parent TEXT COLLATE "C",       -- of a sub-workflow: `{execution}/{step}`
    forked_from TEXT COLLATE "C",
    error TEXT COLLATE "C"
);

CREATE UNIQUE INDEX executions_id ON executions (id);
CREATE UNIQUE INDEX executions_start_key ON executions (start_digest) WHERE start_digest IS NOT NULL;
CREATE INDEX executions_hot ON executions (shard) WHERE hot;
CREATE INDEX executions_unfinished ON executions (shard) WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX executions_wake ON executions (shard, wake_at) WHERE wake_at IS NOT NULL AND NOT hot;
CREATE INDEX executions_created ON executions (created_at, key);
CREATE INDEX executions_parent ON executions (parent) WHERE parent IS NOT NULL;
CREATE INDEX executions_finished ON executions (finished_at) WHERE finished_at IS NOT NULL;

-- Rows are added at the end, whichever execution they belong to, and found through an index.
CREATE TABLE history (
    number BIGINT NOT NULL,  -- of the transaction, and its place in it: rising in the order in which transactions began
    execution BIGINT NOT NULL,
    seq INTEGER NOT NULL,    -- of the last event in the row
    events BYTEA NOT NULL
);

CREATE UNIQUE INDEX history_number ON history (number);
CREATE UNIQUE INDEX history_order ON history (execution, seq);

CREATE TABLE snapshots (
    execution BIGINT PRIMARY KEY,
    seq INTEGER NOT NULL,
    state BYTEA NOT NULL
);

CREATE TABLE waits (
    type_digest BYTEA NOT NULL,  -- of the event's type, which may be longer than an index takes
    key BIGINT NOT NULL,
    execution BIGINT NOT NULL,
    step_digest BYTEA NOT NULL,
    step TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (type_digest, key, execution, step_digest)
);

CREATE TABLE events (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at BIGINT NOT NULL,
    keep_until BIGINT NOT NULL,
    digest BYTEA NOT NULL,  -- of source and id
    body BYTEA NOT NULL
);

CREATE UNIQUE INDEX events_digest ON events (digest);
CREATE INDEX events_keep_until ON events (keep_until);

-- Under which keys a wait that begins later looks for an event.
CREATE TABLE event_keys (
    type_digest BYTEA NOT NULL,
    key BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    event BIGINT NOT NULL,
    PRIMARY KEY (type_digest, key, received_at, event)
);

CREATE INDEX event_keys_event ON event_keys (event);

-- An owner asks for what came after the last it saw: numbers are taken while the shard's lock is held.
CREATE TABLE inbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event BIGINT,  -- whose body is the payload, stored once however many wait for it
    shard BIGINT NOT NULL,  -- or, negative, an inbox that belongs to none
    kind TEXT COLLATE "C" NOT NULL,
    execution TEXT COLLATE "C",
    step TEXT COLLATE "C",
    payload BYTEA,
    CHECK ((payload IS NULL) <> (event IS NULL))
);

CREATE INDEX inbox_shard ON inbox (shard, id);
CREATE INDEX inbox_event ON inbox (event) WHERE event IS NOT NULL;
CREATE INDEX inbox_asked ON inbox (shard) WHERE kind IN ('start', 'start_child', 'compensate_self');

-- Locks that executions share: who holds one, and who stands in line for it.
CREATE TABLE locks (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- the order of the line
    execution BIGINT NOT NULL,
    since BIGINT NOT NULL,
    slots INTEGER NOT NULL CHECK (slots > 0),  -- how many may hold it at once, as this one asked
    held BOOLEAN NOT NULL DEFAULT FALSE,
    told BOOLEAN NOT NULL DEFAULT FALSE,       -- to make room for another
    name_digest BYTEA NOT NULL,                -- of the name, which may be longer than an index takes
    step_digest BYTEA NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    step TEXT COLLATE "C" NOT NULL             -- '': the execution as a whole
);

CREATE UNIQUE INDEX locks_claim ON locks (name_digest, execution, step_digest);
CREATE INDEX locks_line ON locks (name_digest, held, number);
CREATE INDEX locks_execution ON locks (execution);

-- What is added to the number of a transaction to number its rows of history: after a move to another server, whose
-- transactions are numbered from the beginning, new rows come behind the old ones all the same.
CREATE TABLE numbering (
    shift BIGINT NOT NULL
);

INSERT INTO numbering (shift) VALUES (0);

CREATE TABLE definitions (
    digest TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    dialect TEXT COLLATE "C" NOT NULL,
    source_name TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL
);

-- Versions of workflows under their names. What one says is the definition with its digest, for ever.
CREATE TABLE registrations (
    name TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL REFERENCES definitions,
    lifecycle TEXT COLLATE "C" NOT NULL CHECK (lifecycle IN ('draft', 'active', 'deprecated', 'retired')),
    tags TEXT COLLATE "C" NOT NULL,  -- a JSON array
    is_chosen BOOLEAN NOT NULL,      -- as the default of its name
    log TEXT COLLATE "C" NOT NULL,   -- a JSON array: what was done to it, when, by whom and why
    PRIMARY KEY (name, version)
);

CREATE UNIQUE INDEX registrations_chosen ON registrations (name) WHERE is_chosen;
CREATE INDEX registrations_digest ON registrations (digest);

CREATE TABLE dead_letters (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- never given twice: lists go on behind one
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    execution TEXT COLLATE "C" NOT NULL,
    workflow TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    step TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('step', 'compensation')),
    error_type TEXT COLLATE "C" NOT NULL,
    error TEXT COLLATE "C" NOT NULL,  -- a JSON object
    input BYTEA,
    discarded TEXT COLLATE "C"  -- a JSON object: when, by whom and why; NULL: something is to be done about it
);

CREATE INDEX dead_letters_execution ON dead_letters (execution);

-- Results of steps, for reuse by other executions of the same definition.
CREATE TABLE results (
    key TEXT COLLATE "C" PRIMARY KEY,
    execution TEXT COLLATE "C" NOT NULL,  -- that which made it; the result is as good without it
    made_at BIGINT NOT NULL,
    expires_at BIGINT,  -- NULL: never
    value BYTEA NOT NULL
);

CREATE INDEX results_expiry ON results (expires_at) WHERE expires_at IS NOT NULL;

-- What a server keeps beside executions: schedules, keys, subscriptions and the like, each of a kind.
CREATE TABLE documents (
    digest BYTEA PRIMARY KEY CHECK (length(digest) = 32),  -- of kind and key, which may be longer than an index takes
    kind TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL CHECK (revision > 0),
    body BYTEA NOT NULL,
    due_at BIGINT,  -- NULL: never
    updated_at BIGINT NOT NULL
);

CREATE INDEX documents_order ON documents (kind, "left"(key, 200));
CREATE INDEX documents_due ON documents (kind, due_at) WHERE due_at IS NOT NULL;

-- The highest revision that was deleted, of each kind. A new document begins behind it, so that no key sees a revision
-- twice, and not every deleted document has to leave a row for ever.
CREATE TABLE deleted_documents (
    kind TEXT COLLATE "C" PRIMARY KEY,
    revision BIGINT NOT NULL CHECK (revision > 0)
);

-- There is no index of numbers alone: it would be chosen for kinds with few entries, and all others read on the way.
CREATE TABLE journal (
    number BIGINT GENERATED ALWAYS AS IDENTITY,  -- never given twice: readers go on behind one
    kind TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    hash BYTEA CHECK (length(hash) = 32),  -- NULL: not chained
    PRIMARY KEY (kind, number)
);

CREATE INDEX journal_subject ON journal (kind, hashtextextended(subject, 0), number);
CREATE INDEX journal_at ON journal (kind, at);

-- Where the chain of each kind ends.
CREATE TABLE chains (
    kind TEXT COLLATE "C" PRIMARY KEY,
    length BIGINT NOT NULL CHECK (length > 0),
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL CHECK (length(hash) = 32)
);
