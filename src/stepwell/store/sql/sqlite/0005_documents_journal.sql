CREATE INDEX executions_finished ON executions (finished_at) WHERE finished_at IS NOT NULL;

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
