-- What is kept beside executions: documents, the journal, the registry, dead letters, results. For PostgreSQL.
-- Many rows are given as one array for each column. A line that ends with `--? name` is left out unless a value of that
-- name is given, and `{name}` is that value (postgres_statements.chosen): so the server plans for what is asked.

-- ── Documents ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: documents_by_digest
SELECT kind, key, revision, body, due_at, updated_at FROM documents WHERE digest = ANY ($1::bytea[])

-- The index holds the beginnings of keys, because a key may be longer than an entry of an index.
-- name: documents
SELECT kind, key, revision, body, due_at, updated_at FROM documents
WHERE kind = $1
  AND left(key, 200) >= left($2, 200) AND key >= $2 AND key <> $4
  AND ($3::text IS NULL OR (left(key, 200) <= left($3, 200) AND key < $3))
ORDER BY left(key, 200), key LIMIT $5

-- name: due_documents
SELECT kind, key, revision, body, due_at, updated_at FROM documents
WHERE kind = $1 AND due_at <= $2 ORDER BY due_at, key LIMIT $3

-- name: next_due
SELECT min(due_at) FROM documents WHERE kind = $1 AND due_at IS NOT NULL

-- name: deleted_revisions
SELECT kind, revision FROM deleted_documents WHERE kind = ANY ($1::text[])

-- name: write_documents
INSERT INTO documents (digest, kind, key, revision, body, due_at, updated_at)
SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[])
ON CONFLICT (digest) DO UPDATE SET
    revision = excluded.revision, body = excluded.body, due_at = excluded.due_at, updated_at = excluded.updated_at

-- name: delete_documents
DELETE FROM documents WHERE digest = ANY ($1::bytea[])

-- name: note_deleted_revisions
INSERT INTO deleted_documents (kind, revision) SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (kind) DO UPDATE SET revision = greatest(deleted_documents.revision, excluded.revision)

-- ── The journal ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- Numbers are drawn in the order of the places: what has an ORDER BY is sorted before the columns of the table are filled.
-- name: note
INSERT INTO journal (kind, subject, at, body, hash)
SELECT kind, subject, at, body, hash
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bytea[]) WITH ORDINALITY
     AS entry (kind, subject, at, body, hash, place)
ORDER BY place
RETURNING number

-- name: ends_of_chains
SELECT kind, length, number, hash FROM chains WHERE kind = ANY ($1::text[])

-- name: chains
SELECT kind, length, number, hash FROM chains ORDER BY kind

-- name: write_chains
INSERT INTO chains (kind, length, number, hash) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[])
ON CONFLICT (kind) DO UPDATE SET length = excluded.length, number = excluded.number, hash = excluded.hash

-- The collation "C" makes lower() change ASCII letters only.
-- name: journal
SELECT number, kind, subject, at, body, hash FROM journal
WHERE kind = {kind}
  AND number > {after}  --? after
  AND number < {before}  --? before
  AND at >= {since}  --? since
  AND at < {until}  --? until
  AND hashtextextended(subject, 0) = hashtextextended({subject}, 0) AND subject = {subject}  --? subject
  AND strpos(lower(body), {text}) > 0  --? text
ORDER BY number

-- name: forget_journal
DELETE FROM journal WHERE kind = $1 AND number = ANY (ARRAY(
    SELECT number FROM journal WHERE kind = $1 AND at < $2 AND hash IS NULL LIMIT 1000 FOR UPDATE SKIP LOCKED
))

-- ── The feed ─────────────────────────────────────────────────────────────────────────────────────────────────────────

-- A row of history is numbered after the transaction that wrote it, and transactions end in any order. So no more is told
-- than what is below the first transaction still under way ($3: but for those known not to write history). Transactions
-- and rows are looked at in one moment, for a statement sees one snapshot. There is always at least one row.
-- name: feed
WITH seen AS MATERIALIZED (
    SELECT min(xid::text::bigint) AS oldest, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next
    FROM pg_snapshot_xip(pg_current_snapshot()) AS xid WHERE NOT xid::text::bigint = ANY ($3::bigint[])
)
SELECT seen.oldest, row.number, row.id, row.workflow, row.seq, row.events
FROM seen LEFT JOIN LATERAL (
    SELECT h.number, e.id, e.workflow, h.seq, h.events
    FROM history AS h JOIN executions AS e ON e.key = h.execution
    WHERE h.number > $1 AND h.number < (coalesce(seen.oldest, seen.next) + (SELECT shift FROM numbering)) << 20
    ORDER BY h.number LIMIT $2
) AS row ON true
ORDER BY row.number

-- name: feed_end
SELECT max(number) FROM history WHERE number < (
    SELECT coalesce(min(xid::text::bigint), pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
    FROM pg_snapshot_xip(pg_current_snapshot()) AS xid WHERE NOT xid::text::bigint = ANY ($1::bigint[])
) + (SELECT shift FROM numbering) << 20

-- Transactions under way that write no history: whoever does locks the table of commits before he gets a transaction id.
-- To be believed of those that are still under way later: locks are not looked at in one moment.
-- name: strangers
SELECT xid::text::bigint
FROM pg_snapshot_xip(pg_current_snapshot()) AS xid
JOIN pg_locks AS own ON own.locktype = 'transactionid' AND own.granted AND own.transactionid = xid::xid
WHERE NOT EXISTS (
    SELECT 1 FROM pg_locks AS held
    WHERE held.pid = own.pid AND held.locktype = 'relation' AND held.relation = 'commits'::regclass
      AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
)

-- After a move to another server its transaction ids may begin low again; then the numbers go on behind those there are.
-- name: numbers_would_go_back
SELECT (SELECT max(number) FROM history) >> 20 >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint + shift
FROM numbering

-- name: shift_numbers
UPDATE numbering SET shift = highest - next + 1
FROM (SELECT (SELECT max(number) FROM history) >> 20 AS highest,
             pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) AS now
WHERE highest >= next + shift

-- ── Registered versions ──────────────────────────────────────────────────────────────────────────────────────────────

-- name: put_definition
INSERT INTO definitions (digest, name, version, dialect, source_name, text) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (digest) DO NOTHING

-- name: definition
SELECT digest, name, version, dialect, source_name, text FROM definitions WHERE digest = $1

-- name: registrations
SELECT name, version, digest, lifecycle, tags, is_chosen, log FROM registrations

-- name: registry_mark
SELECT count(*), coalesce(sum(length(log)), 0)::bigint FROM registrations

-- name: versions
SELECT name, version, digest, lifecycle, tags, is_chosen, log FROM registrations WHERE name = $1

-- name: write_registration
INSERT INTO registrations (name, version, digest, lifecycle, tags, is_chosen, log) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (name, version) DO UPDATE SET
    lifecycle = excluded.lifecycle, is_chosen = excluded.is_chosen, log = excluded.log

-- ── Dead letters ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: delete_dead_letters
DELETE FROM dead_letters WHERE id = ANY ($1::text[])

-- name: write_dead_letters
INSERT INTO dead_letters (id, execution, workflow, version, step, at, seq, attempts, kind, error_type, error, input,
                          discarded)
SELECT id, execution, workflow, version, step, at, seq, attempts, kind, error_type, error, input, discarded
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::text[], $10::text[], $11::text[], $12::bytea[], $13::text[]) WITH ORDINALITY
     AS letter (id, execution, workflow, version, step, at, seq, attempts, kind, error_type, error, input, discarded,
                place)
ORDER BY place

-- name: discard_dead_letter
UPDATE dead_letters SET discarded = $2, input = NULL WHERE id = $1 AND discarded IS NULL RETURNING number

-- name: dead_letter
SELECT number, execution, workflow, version, step, at, seq, attempts, kind, error, input, discarded
FROM dead_letters WHERE id = $1

-- name: dead_letters
SELECT number, execution, workflow, version, step, at, seq, attempts, kind, error, input, discarded
FROM dead_letters
WHERE number < {before}
  AND (discarded IS NOT NULL) = {discarded}
  AND workflow = {workflow}  --? workflow
  AND execution = {execution}  --? execution
  AND error_type = {error_type}  --? error_type
  AND CASE strpos(workflow, '.') WHEN 0 THEN 'default' ELSE split_part(workflow, '.', 1) END = ANY ({namespaces})  --? namespaces
ORDER BY number DESC

-- ── The cache of results ─────────────────────────────────────────────────────────────────────────────────────────────

-- name: keep_results
INSERT INTO results (key, execution, made_at, expires_at, value)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[])
ON CONFLICT (key) DO UPDATE SET
    execution = excluded.execution, made_at = excluded.made_at, expires_at = excluded.expires_at, value = excluded.value

-- name: kept_result
SELECT key, execution, made_at, expires_at, value FROM results
WHERE key = $1 AND (expires_at IS NULL OR expires_at > $2)

-- name: forget_results
DELETE FROM results WHERE key = ANY (ARRAY(
    SELECT key FROM results WHERE expires_at <= $1 LIMIT 1000 FOR UPDATE SKIP LOCKED
))

-- ── Lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: list
SELECT key, id, shard, workflow, version, digest, created_at, start_key, tags, parent, forked_from,
       status, hot, wake_at, started_at, finished_at, error
FROM executions
WHERE (created_at, key) < ({before_created}, {before_key})
  AND created_at >= {created_from}  --? created_from
  AND created_at < {created_to}  --? created_to
  AND workflow = {workflow}  --? workflow
  AND version = {version}  --? version
  AND status = ANY ({statuses})  --? statuses
  AND {tag} = ANY (tags)  --? tag
  AND parent >= {first_child} AND parent < {behind_children}  --? first_child
  AND CASE strpos(workflow, '.') WHEN 0 THEN 'default' ELSE split_part(workflow, '.', 1) END = ANY ({namespaces})  --? namespaces
  AND (strpos(lower(id), {text}) > 0 OR strpos(lower(workflow), {text}) > 0 OR strpos(lower(error), {text}) > 0  --? text
       OR EXISTS (SELECT 1 FROM unnest(tags) AS tag WHERE strpos(lower(tag), {text}) > 0))  --? text
ORDER BY created_at DESC, key DESC

-- name: executions_after
SELECT key, id, shard, workflow, version, digest, created_at, start_key, tags, parent, forked_from,
       status, hot, wake_at, started_at, finished_at, error
FROM executions WHERE key > $1 ORDER BY key LIMIT $2

-- name: snapshots_of
SELECT execution, seq, state FROM snapshots WHERE execution = ANY ($1::bigint[])

-- name: histories_of
SELECT execution, seq, events FROM history WHERE execution = ANY ($1::bigint[]) ORDER BY execution, seq

-- name: waiting
SELECT DISTINCT e.key, e.id, w.step
FROM waits AS w JOIN executions AS e ON e.key = w.execution
WHERE w.type_digest = $1 AND (w.execution, w.step) > ($2, $3)
  AND ($4::text[] IS NULL
       OR CASE strpos(e.workflow, '.') WHEN 0 THEN 'default' ELSE split_part(e.workflow, '.', 1) END = ANY ($4))
ORDER BY e.key, w.step LIMIT $5

-- ── Counting ─────────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: tally_unfinished
SELECT workflow, version, status, count(*) FROM executions WHERE status NOT IN ('completed', 'failed', 'cancelled')
GROUP BY workflow, version, status ORDER BY workflow, version, status

-- name: tally_others
SELECT (SELECT count(*) FROM waits),
       (SELECT count(*) FROM dead_letters WHERE discarded IS NULL)
       + (SELECT count(*) FROM documents WHERE kind = $1),
       (SELECT count(*) FROM inbox)

-- name: tally_ended
SELECT workflow, version, status, count(*), sum(coalesce(finished_at - started_at, 0))::bigint FROM executions
WHERE finished_at >= $1 AND finished_at < $2 AND ($3::text IS NULL OR workflow = $3)
  AND ($4::text[] IS NULL OR status = ANY ($4))
  AND ($5::text[] IS NULL
       OR CASE strpos(workflow, '.') WHEN 0 THEN 'default' ELSE split_part(workflow, '.', 1) END = ANY ($5))
GROUP BY workflow, version, status ORDER BY workflow, version, status

-- name: tally_durations
SELECT place, took FROM (
    SELECT row_number() OVER (ORDER BY coalesce(finished_at - started_at, 0)) - 1 AS place,
           coalesce(finished_at - started_at, 0) AS took FROM executions
    WHERE finished_at >= $1 AND finished_at < $2 AND ($3::text IS NULL OR workflow = $3)
      AND ($4::text[] IS NULL OR status = ANY ($4))
      AND ($5::text[] IS NULL
           OR CASE strpos(workflow, '.') WHEN 0 THEN 'default' ELSE split_part(workflow, '.', 1) END = ANY ($5))
) AS ended WHERE place = ANY ($6::bigint[])
