-- Every statement of the SQLite store but the migrations. A line `-- name: x` begins the statement x.
-- Where a statement says VALUES (?, ?), it is run for many rows at once (sqlite_rows.RowStatement), some of them of NULL:
-- those must change nothing. They never get into an INSERT.

-- name: has_migrations
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'

-- name: migrations
SELECT number, name, checksum, applied_by FROM migrations ORDER BY number

-- name: note_migration
INSERT INTO migrations (number, name, checksum, applied_by) VALUES (?, ?, ?, ?)

-- ── Ownership ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: all_shards
SELECT shard, fence, owner, expires_at, wake_port, host, machine, pid, started FROM shards ORDER BY shard

-- name: own_shard
INSERT INTO shards (shard, fence, owner, expires_at, wake_port, host, machine, pid, started)
VALUES (:shard, 1, :owner, :expires_at, :wake_port, :host, :machine, :pid, :started)
ON CONFLICT (shard) DO UPDATE SET
    fence = shards.fence + 1, owner = excluded.owner, expires_at = excluded.expires_at,
    wake_port = excluded.wake_port, host = excluded.host, machine = excluded.machine, pid = excluded.pid,
    started = excluded.started

-- name: renew_lease
UPDATE shards SET expires_at = ? WHERE shard = ? AND fence = ? AND owner IS NOT NULL

-- name: release_lease
UPDATE shards SET owner = NULL, wake_port = NULL WHERE shard = ? AND fence = ?

-- name: release_all
UPDATE shards SET owner = NULL, wake_port = NULL WHERE owner = ?

-- name: all_nodes
SELECT name, shards, since, leaving, expires_at, about, wake_port, host, machine, pid, started FROM nodes

-- name: note_node
INSERT INTO nodes (name, shards, since, leaving, expires_at, about, wake_port, host, machine, pid, started)
VALUES (:name, :shards, :since, :leaving, :expires_at, :about, :wake_port, :host, :machine, :pid, :started)
ON CONFLICT (name) DO UPDATE SET
    leaving = excluded.leaving, expires_at = excluded.expires_at, about = excluded.about,
    wake_port = excluded.wake_port

-- name: forget_node
DELETE FROM nodes WHERE name = ?

-- name: has_lost_fence
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM shards WHERE shard = ? AND fence = ? AND owner IS NOT NULL)

-- name: has_unfinished
SELECT 1 FROM executions WHERE shard = ?1 AND status NOT IN ('completed', 'failed', 'cancelled')
UNION ALL
SELECT 1 FROM inbox WHERE shard = ?1 AND kind = 'start'
LIMIT 1

-- ── Executions: writing ──────────────────────────────────────────────────────────────────────────────────────────────

-- name: create_executions
INSERT INTO executions (id, shard, workflow, version, digest, created_at, start_key, tags, parent, forked_from,
                        status, hot, wake_at, started_at, finished_at, error)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: update_summaries
UPDATE executions
SET status = new.column2, hot = new.column3, wake_at = new.column4, started_at = new.column5,
    finished_at = new.column6, error = new.column7
FROM (VALUES (?, ?, ?, ?, ?, ?, ?)) AS new
WHERE executions.key = new.column1

-- name: move_to_versions
UPDATE executions SET version = new.column2, digest = new.column3
FROM (VALUES (?, ?, ?)) AS new
WHERE executions.key = new.column1

-- name: write_history
INSERT INTO history (execution, seq, events) VALUES (?, ?, ?)

-- name: write_history_of_shard
INSERT INTO history (execution, seq, events)
SELECT * FROM (VALUES (?, ?, ?))
WHERE column1 IS NOT NULL
  AND EXISTS (SELECT 1 FROM shards WHERE shard = ? AND fence = ? AND owner IS NOT NULL)

-- name: write_snapshots
INSERT OR REPLACE INTO snapshots (execution, seq, state) VALUES (?, ?, ?)

-- name: begin_waits
INSERT OR IGNORE INTO waits (event_type, key, execution, step) VALUES (?, ?, ?, ?)

-- name: end_waits
DELETE FROM waits WHERE (event_type, key, execution, step) IN (VALUES (?, ?, ?, ?))

-- Events that came before the wait began. Those with very many fields are filed under the key 1 (and 0, as all are).
-- name: file_early_events
INSERT INTO inbox (shard, kind, execution, step, event)
SELECT e.shard, 'early_event', e.id, w.step, k.event
FROM (
    SELECT value ->> 0 AS event_type, value ->> 1 AS key, value ->> 2 AS execution, value ->> 3 AS step,
           value ->> 4 AS since
    FROM json_each(?)
) AS w
CROSS JOIN event_keys AS k
    ON k.event_type = w.event_type AND k.key IN (w.key, iif(w.key = 0, 0, 1)) AND k.received_at >= w.since
CROSS JOIN executions AS e ON e.key = w.execution
ORDER BY k.event, w.execution, w.step

-- ── Executions: reading ──────────────────────────────────────────────────────────────────────────────────────────────

-- name: execution
SELECT key, id, shard, workflow, version, digest, created_at, start_key, tags, parent, forked_from,
       status, hot, wake_at, started_at, finished_at, error
FROM executions WHERE id = ?

-- name: executions_after
SELECT key, id, shard, workflow, version, digest, created_at, start_key, tags, parent, forked_from,
       status, hot, wake_at, started_at, finished_at, error
FROM executions WHERE key > ? ORDER BY key LIMIT ?

-- name: snapshot
SELECT seq, state FROM snapshots WHERE execution = ?

-- name: history
SELECT seq, events FROM history WHERE execution = ? AND seq > ? ORDER BY seq LIMIT ?

-- name: history_of
SELECT seq, events FROM history
WHERE execution = (SELECT key FROM executions WHERE id = ?) AND seq > ? ORDER BY seq LIMIT ?

-- name: children
SELECT id FROM executions WHERE parent >= ?1 || '/' AND parent < ?1 || '0' ORDER BY key

-- name: find_start
SELECT id FROM executions WHERE start_key = ?

-- name: hot
SELECT id FROM executions WHERE shard = ? AND hot = 1 ORDER BY key

-- name: unfinished
SELECT count(*) FROM executions WHERE shard = ? AND status NOT IN ('completed', 'failed', 'cancelled')

-- name: unfinished_shards
SELECT shard FROM shards
WHERE EXISTS (SELECT 1 FROM executions AS e
              WHERE e.shard = shards.shard AND e.status NOT IN ('completed', 'failed', 'cancelled'))
   OR EXISTS (SELECT 1 FROM executions AS e WHERE e.shard = shards.shard AND e.hot = 1)
UNION
SELECT shard FROM inbox WHERE kind IN ('start', 'start_child', 'compensate_self')
ORDER BY shard

-- name: due
SELECT id, wake_at, key FROM executions WHERE shard = ? AND hot = 0 AND wake_at <= ? ORDER BY wake_at, key LIMIT ?

-- name: next_wake
SELECT min(wake_at) FROM executions WHERE shard = ? AND hot = 0 AND wake_at IS NOT NULL

-- name: list
SELECT key, id, shard, workflow, version, digest, created_at, start_key, tags, parent, forked_from,
       status, hot, wake_at, started_at, finished_at, error
FROM executions
WHERE (created_at, key) < (:before_created, :before_key)
  AND created_at >= :created_from AND created_at < :created_to
  AND (:workflow IS NULL OR workflow = :workflow)
  AND (:version IS NULL OR version = :version)
  AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
  AND (:tag IS NULL OR :tag IN (SELECT value FROM json_each(tags)))
  AND (:parent IS NULL OR (parent >= :parent || '/' AND parent < :parent || '0'))  -- '0' is the character after '/'
  AND (:namespaces IS NULL
       OR CASE instr(workflow, '.') WHEN 0 THEN 'default' ELSE substr(workflow, 1, instr(workflow, '.') - 1) END
          IN (SELECT value FROM json_each(:namespaces)))
  AND (:text IS NULL
       OR instr(lower(id), lower(:text)) OR instr(lower(workflow), lower(:text)) OR instr(lower(error), lower(:text))
       OR EXISTS (SELECT 1 FROM json_each(tags) WHERE instr(lower(value), lower(:text))))
ORDER BY created_at DESC, key DESC
LIMIT :limit

-- ── Dead letters ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: write_dead_letters
INSERT OR REPLACE INTO dead_letters (id, execution, workflow, version, step, at, seq, attempts, kind, error_type, error,
                                     input, discarded)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: resolve_dead_letters
DELETE FROM dead_letters WHERE id IN (VALUES (?))

-- name: discard_dead_letter
UPDATE dead_letters SET discarded = ?, input = NULL WHERE id = ? AND discarded IS NULL

-- name: dead_letter
SELECT number, execution, workflow, version, step, at, seq, attempts, kind, error, input, discarded
FROM dead_letters WHERE id = ?

-- name: dead_letters
SELECT number, execution, workflow, version, step, at, seq, attempts, kind, error, input, discarded
FROM dead_letters
WHERE number < :before
  AND (discarded IS NOT NULL) = :discarded
  AND (:workflow IS NULL OR workflow = :workflow)
  AND (:execution IS NULL OR execution = :execution)
  AND (:error_type IS NULL OR error_type = :error_type)
  AND (:namespaces IS NULL
       OR CASE instr(workflow, '.') WHEN 0 THEN 'default' ELSE substr(workflow, 1, instr(workflow, '.') - 1) END
          IN (SELECT value FROM json_each(:namespaces)))
ORDER BY number DESC
LIMIT :limit

-- ── Locks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: request_locks
INSERT OR IGNORE INTO locks (name, execution, step, slots, since) VALUES (?, ?, ?, ?, ?)

-- name: release_locks
DELETE FROM locks WHERE (name, execution, step) IN (VALUES (?, ?, ?))

-- name: release_locks_of
DELETE FROM locks WHERE execution = ? RETURNING name

-- name: count_holders
SELECT count(*) FROM locks WHERE name = ? AND held = 1

-- name: lock_line
SELECT l.slots, l.number, e.id, e.shard, l.step, l.since
FROM locks AS l CROSS JOIN executions AS e ON e.key = l.execution
WHERE l.name = ? AND l.held = 0 ORDER BY l.number

-- name: has_asked_for_lock
SELECT 1 FROM locks WHERE name = ? AND execution = ? AND step = ?

-- Those who stand before another in line, holders too, and have not been told to make room.
-- name: locks_before
SELECT b.number, e.id, e.shard
FROM locks AS l
CROSS JOIN locks AS b ON b.name = l.name AND b.number < l.number AND b.execution <> l.execution AND b.told = 0
CROSS JOIN executions AS e ON e.key = b.execution
WHERE l.name = ? AND l.execution = ? AND l.step = ? AND l.held = 0 ORDER BY b.number

-- name: tell_locks
UPDATE locks SET told = 1 WHERE number IN (VALUES (?))

-- name: hold_locks
UPDATE locks SET held = 1 WHERE number IN (VALUES (?))

-- name: locks
SELECT l.name, e.id, l.step, l.slots, l.since, l.held
FROM locks AS l CROSS JOIN executions AS e ON e.key = l.execution
WHERE :name IS NULL OR l.name = :name
ORDER BY l.name, l.number

-- ── Events and the inbox ─────────────────────────────────────────────────────────────────────────────────────────────

-- name: waiting
SELECT DISTINCT e.key, e.id, w.step
FROM waits AS w CROSS JOIN executions AS e ON e.key = w.execution
WHERE w.event_type = :type AND (w.execution, w.step) > (:execution, :step)
  AND (:namespaces IS NULL
       OR CASE instr(e.workflow, '.') WHEN 0 THEN 'default' ELSE substr(e.workflow, 1, instr(e.workflow, '.') - 1) END
          IN (SELECT value FROM json_each(:namespaces)))
ORDER BY w.execution, w.step LIMIT :limit

-- name: store_event
INSERT INTO events (source, id, received_at, keep_until, body) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (source, id) DO NOTHING

-- name: file_event
INSERT INTO event_keys (event_type, key, received_at, event) VALUES (?, ?, ?, ?)

-- name: hand_to_waits
INSERT INTO inbox (shard, kind, execution, step, event)
SELECT e.shard, 'event', e.id, w.step, :event
FROM (SELECT value AS key FROM json_each(:keys)) AS k
CROSS JOIN waits AS w ON w.event_type = :type AND w.key = k.key
CROSS JOIN executions AS e ON e.key = w.execution
ORDER BY w.execution, w.step

-- name: shards_of_event
SELECT DISTINCT shard FROM inbox WHERE event = ?

-- Inbox items keep what they need of an event that is forgotten.
-- name: keep_payloads
UPDATE inbox SET payload = e.body, event = NULL
FROM events AS e WHERE inbox.event = e.number AND e.keep_until <= ?

-- name: forget_events
DELETE FROM events WHERE number IN (
    SELECT number FROM events
    WHERE keep_until <= ?
      AND received_at < ifnull(
          (SELECT min(created_at) FROM executions WHERE status NOT IN ('completed', 'failed', 'cancelled')),
          9223372036854775807
      )
    ORDER BY keep_until LIMIT ?
)

-- name: post
INSERT INTO inbox (shard, kind, execution, step, payload) VALUES (?, ?, ?, ?, ?)

-- name: consume
DELETE FROM inbox WHERE id IN (VALUES (?))

-- name: inbox
SELECT i.id, i.shard, i.kind, coalesce(i.payload, e.body), i.execution, i.step
FROM inbox AS i LEFT JOIN events AS e ON e.number = i.event
WHERE i.shard = ? AND i.id > ? ORDER BY i.id LIMIT ?

-- ── The cache of results ─────────────────────────────────────────────────────────────────────────────────────────────

-- name: keep_results
INSERT OR REPLACE INTO results (key, execution, made_at, expires_at, value) VALUES (?, ?, ?, ?, ?)

-- name: kept_result
SELECT key, execution, made_at, expires_at, value FROM results
WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)

-- name: forget_results
DELETE FROM results WHERE number IN (SELECT number FROM results WHERE expires_at <= ? LIMIT ?)

-- ── Definitions ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: put_definition
INSERT INTO definitions (digest, name, version, dialect, source_name, text) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (digest) DO NOTHING

-- name: definition
SELECT digest, name, version, dialect, source_name, text FROM definitions WHERE digest = ?

-- name: registrations
SELECT name, version, digest, lifecycle, tags, is_chosen, log FROM registrations

-- name: registry_mark
SELECT count(*), coalesce(sum(length(log)), 0) FROM registrations

-- name: versions
SELECT name, version, digest, lifecycle, tags, is_chosen, log FROM registrations WHERE name = ?

-- name: write_registration
INSERT INTO registrations (name, version, digest, lifecycle, tags, is_chosen, log) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name, version) DO UPDATE SET
    lifecycle = excluded.lifecycle, is_chosen = excluded.is_chosen, log = excluded.log

-- ── What is kept beside executions ───────────────────────────────────────────────────────────────────────────────────

-- name: document
SELECT kind, key, revision, body, due_at, updated_at FROM documents WHERE kind = ? AND key = ?

-- name: documents
SELECT kind, key, revision, body, due_at, updated_at FROM documents
WHERE kind = :kind AND key >= :first AND key < :end AND key <> :after
ORDER BY key LIMIT :limit

-- name: due_documents
SELECT kind, key, revision, body, due_at, updated_at FROM documents
WHERE kind = ? AND due_at <= ? ORDER BY due_at, key LIMIT ?

-- name: next_due
SELECT min(due_at) FROM documents WHERE kind = ? AND due_at IS NOT NULL

-- name: write_document
INSERT INTO documents (kind, key, revision, body, due_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, key) DO UPDATE SET
    revision = excluded.revision, body = excluded.body, due_at = excluded.due_at, updated_at = excluded.updated_at

-- name: delete_document
DELETE FROM documents WHERE kind = ? AND key = ?

-- name: deleted_revision
SELECT revision FROM deleted_documents WHERE kind = ?

-- name: note_deleted_revision
INSERT INTO deleted_documents (kind, revision) VALUES (?, ?)
ON CONFLICT (kind) DO UPDATE SET revision = max(revision, excluded.revision)

-- name: note
INSERT INTO journal (kind, subject, at, body, hash) VALUES (?, ?, ?, ?, ?)

-- name: chain
SELECT kind, length, number, hash FROM chains WHERE kind = ?

-- name: chains
SELECT kind, length, number, hash FROM chains ORDER BY kind

-- name: write_chain
INSERT INTO chains (kind, length, number, hash) VALUES (?, ?, ?, ?)
ON CONFLICT (kind) DO UPDATE SET length = excluded.length, number = excluded.number, hash = excluded.hash

-- Three ways to the same rows, one for each index.
-- name: journal
SELECT number, kind, subject, at, body, hash FROM journal INDEXED BY journal_kind
WHERE kind = :kind AND number > :after AND number < :before
  AND (:text IS NULL OR instr(lower(body), :text))
ORDER BY number LIMIT :limit

-- name: journal_of_subject
SELECT number, kind, subject, at, body, hash FROM journal INDEXED BY journal_subject
WHERE kind = :kind AND subject = :subject AND number > :after AND number < :before
  AND at >= :since AND at < :until
  AND (:text IS NULL OR instr(lower(body), :text))
ORDER BY number LIMIT :limit

-- name: journal_between
SELECT number, kind, subject, at, body, hash FROM journal
WHERE number IN (SELECT number FROM journal INDEXED BY journal_at
                 WHERE kind = :kind AND at >= :since AND at < :until AND number > :after AND number < :before)
  AND (:text IS NULL OR instr(lower(body), :text))
ORDER BY number LIMIT :limit

-- name: forget_journal
DELETE FROM journal WHERE number IN (
    SELECT number FROM journal WHERE kind = ? AND at < ? AND hash IS NULL LIMIT ?
)

-- Rows of history are numbered in the order of commits, for SQLite writes one transaction after another and gives each
-- row the number behind the highest. None is ever deleted, so no number is given twice.
-- name: feed
SELECT h.number, e.id, e.workflow, h.seq, h.events
FROM history AS h CROSS JOIN executions AS e ON e.key = h.execution
WHERE h.number > ? ORDER BY h.number LIMIT ?

-- name: feed_end
SELECT max(number) FROM history

-- ── Care ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: schema
SELECT type || ' ' || name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'

-- name: count_by_status
SELECT status, count(*) FROM executions GROUP BY status ORDER BY status

-- name: count_others
SELECT (SELECT count(*) FROM waits), (SELECT count(*) FROM events), (SELECT count(*) FROM inbox)

-- name: count_named
SELECT (SELECT count(*) FROM registrations), (SELECT count(*) FROM dead_letters WHERE discarded IS NULL),
       (SELECT count(*) FROM locks)

-- name: count_ledger
SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM journal),
       (SELECT count(*) FROM documents WHERE kind = :dead_event)

-- name: history_without_execution
SELECT DISTINCT execution FROM history WHERE execution NOT IN (SELECT key FROM executions) ORDER BY execution LIMIT 100

-- name: executions_without_history
SELECT id FROM executions AS e WHERE NOT EXISTS (SELECT 1 FROM history WHERE execution = e.key) ORDER BY key LIMIT 100

-- Rows are numbered in the order in which they were written, so seq must grow with number.
-- name: history_out_of_order
SELECT e.id, h.seq FROM (
    SELECT execution, seq, number > lead(number) OVER (PARTITION BY execution ORDER BY seq) AS wrong FROM history
) AS h JOIN executions AS e ON e.key = h.execution
WHERE h.wrong OR h.seq < 1 ORDER BY h.execution, h.seq LIMIT 100

-- name: snapshots_ahead
SELECT e.id, s.seq FROM snapshots AS s JOIN executions AS e ON e.key = s.execution
WHERE s.seq > (SELECT max(seq) FROM history WHERE execution = s.execution) ORDER BY s.execution LIMIT 100

-- name: waits_of_ended
SELECT e.id, w.step, e.status FROM waits AS w JOIN executions AS e ON e.key = w.execution
WHERE e.status IN ('completed', 'failed', 'cancelled') ORDER BY e.key, w.step LIMIT 100

-- name: executions_without_definition
SELECT id, digest FROM executions WHERE digest NOT IN (SELECT digest FROM definitions) ORDER BY key LIMIT 100

-- name: locks_of_ended
SELECT e.id, l.name, e.status FROM locks AS l JOIN executions AS e ON e.key = l.execution
WHERE e.status IN ('completed', 'failed', 'cancelled') ORDER BY e.key, l.name LIMIT 100

-- A lock is granted in the transaction that makes it free, so the first in line can never have a place.
-- name: locks_not_granted
SELECT name, id FROM (
    SELECT l.name, e.id, l.slots, min(l.number),
           (SELECT count(*) FROM locks AS h WHERE h.name = l.name AND h.held = 1) AS holders
    FROM locks AS l JOIN executions AS e ON e.key = l.execution WHERE l.held = 0 GROUP BY l.name
) WHERE holders < slots ORDER BY name LIMIT 100

-- name: dead_letters_without_history
SELECT id, execution FROM dead_letters AS d
WHERE NOT EXISTS (SELECT 1 FROM history AS h JOIN executions AS e ON e.key = h.execution
                  WHERE e.id = d.execution AND h.seq >= d.seq) ORDER BY number LIMIT 100

-- name: registrations_of_another
SELECT r.name, r.version, d.name || ' ' || d.version FROM registrations AS r JOIN definitions AS d USING (digest)
WHERE (r.name, r.version) <> (d.name, d.version) ORDER BY r.name, r.version LIMIT 100

-- name: chained_without_chain
SELECT kind FROM journal WHERE hash IS NOT NULL EXCEPT SELECT kind FROM chains

-- name: tally_unfinished
SELECT workflow, version, status, count(*) FROM executions WHERE status NOT IN ('completed', 'failed', 'cancelled')
GROUP BY workflow, version, status ORDER BY workflow, version, status

-- name: tally_others
SELECT (SELECT count(*) FROM waits),
       (SELECT count(*) FROM dead_letters WHERE discarded IS NULL)
       + (SELECT count(*) FROM documents WHERE kind = :dead_event),
       (SELECT count(*) FROM inbox)

-- name: tally_ended
SELECT workflow, version, status, count(*), sum(coalesce(finished_at - started_at, 0)) FROM executions
WHERE finished_at >= :since AND finished_at < :until AND (:workflow IS NULL OR workflow = :workflow)
  AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
  AND (:namespaces IS NULL OR iif(instr(workflow, '.'), substr(workflow, 1, instr(workflow, '.') - 1), 'default')
       IN (SELECT value FROM json_each(:namespaces)))
GROUP BY workflow, version, status ORDER BY workflow, version, status

-- name: tally_durations
SELECT place, took FROM (
    SELECT row_number() OVER (ORDER BY coalesce(finished_at - started_at, 0)) - 1 AS place,
           coalesce(finished_at - started_at, 0) AS took FROM executions
    WHERE finished_at >= :since AND finished_at < :until AND (:workflow IS NULL OR workflow = :workflow)
      AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
      AND (:namespaces IS NULL OR iif(instr(workflow, '.'), substr(workflow, 1, instr(workflow, '.') - 1), 'default')
           IN (SELECT value FROM json_each(:namespaces)))
) WHERE place IN (SELECT value FROM json_each(:places))
