-- Statements of the PostgreSQL store: the schema, ownership, executions, events, the inbox, locks. A line `-- name: x`
-- begins the statement x.

-- name: some_tables
SELECT array(SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY tablename LIMIT 3)::text[]

-- name: may_use_schema
SELECT has_schema_privilege($1, 'USAGE')

-- name: migrations
SELECT number, name, checksum, applied_by FROM migrations ORDER BY number

-- name: note_migration
INSERT INTO migrations (number, name, checksum, applied_by) VALUES ($1, $2, $3, $4)

-- name: use_schema
SELECT pg_advisory_lock_shared($1)

-- name: have_schema_alone
SELECT pg_try_advisory_xact_lock($1)

-- What processes left behind that were killed a month ago is deleted.
-- name: new_writer
WITH left_behind AS (
    DELETE FROM writers AS w
    WHERE since < now() - interval '30 days' AND NOT EXISTS (SELECT 1 FROM shards WHERE writer = w.id)
    RETURNING id
), marks AS (
    DELETE FROM commits WHERE writer IN (SELECT id FROM left_behind)
)
INSERT INTO writers DEFAULT VALUES RETURNING id

-- name: keep_writer
INSERT INTO writers (id) OVERRIDING SYSTEM VALUE VALUES ($1) ON CONFLICT (id) DO NOTHING

-- A writer's connection bears its name. When it is made anew, the former one may still be open on the server's side, with
-- a transaction that holds locks, or with something on its way to it.
-- name: take_name
SELECT set_config('application_name', $1, false), (
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = $1 AND usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()
)

-- name: forget_writer
WITH forgotten AS (DELETE FROM commits WHERE writer = $1) DELETE FROM writers WHERE id = $1

-- name: forget_commits
DELETE FROM commits WHERE writer = $1 AND number > $2 - 256 AND number <= $2

-- name: is_committed
SELECT EXISTS (SELECT 1 FROM commits WHERE writer = $1 AND number = $2)

-- name: notify
SELECT pg_notify($1, $2)

-- ── Ownership ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: all_shards
SELECT shard, fence, owner, expires_at, writer, host, machine, pid, started FROM shards ORDER BY shard

-- name: own_shards
INSERT INTO shards (shard, fence, owner, expires_at, writer, host, machine, pid, started)
SELECT shard, 1, $2, $3, $4, $5, $6, $7, $8 FROM unnest($1::int[]) AS shard ORDER BY shard
ON CONFLICT (shard) DO UPDATE SET
    fence = shards.fence + 1, owner = excluded.owner, expires_at = excluded.expires_at, writer = excluded.writer,
    host = excluded.host, machine = excluded.machine, pid = excluded.pid, started = excluded.started
RETURNING shard, fence

-- Whoever appended to shards that are taken from him has to look again which are still his.
-- name: outdate_writers
UPDATE writers SET epoch = epoch + 1 WHERE id = ANY($1::bigint[])

-- name: fences
SELECT w.epoch, s.shard, s.fence
FROM writers AS w LEFT JOIN shards AS s ON s.writer = w.id AND s.owner IS NOT NULL
WHERE w.id = $1

-- name: renew_leases
UPDATE shards AS s SET expires_at = $3
FROM unnest($1::int[], $2::bigint[]) AS l (shard, fence)
WHERE s.shard = l.shard AND s.fence = l.fence AND s.owner IS NOT NULL
RETURNING s.shard

-- name: release_leases
WITH given AS (
    SELECT s.shard, s.writer FROM shards AS s JOIN unnest($1::int[], $2::bigint[]) AS l (shard, fence)
        ON s.shard = l.shard AND s.fence = l.fence
    WHERE s.owner IS NOT NULL
    ORDER BY s.shard FOR UPDATE OF s
), outdated AS (
    UPDATE writers SET epoch = epoch + 1 WHERE id IN (SELECT writer FROM given)
)
UPDATE shards SET owner = NULL, writer = NULL WHERE shard IN (SELECT shard FROM given)

-- name: release_all_of
WITH given AS (
    SELECT shard, writer FROM shards WHERE owner = $1 ORDER BY shard FOR UPDATE
), outdated AS (
    UPDATE writers SET epoch = epoch + 1 WHERE id IN (SELECT writer FROM given)
), gone AS (
    DELETE FROM nodes WHERE name = $1
)
UPDATE shards SET owner = NULL, writer = NULL WHERE shard IN (SELECT shard FROM given)

-- name: has_unfinished
SELECT EXISTS (SELECT 1 FROM executions WHERE shard = $1 AND status NOT IN ('completed', 'failed', 'cancelled'))
    OR EXISTS (SELECT 1 FROM inbox WHERE shard = $1 AND kind = 'start')

-- Shards are judged as they were before: none of what is prolonged here is free.
-- name: attend
WITH before AS (
    SELECT leaving, expires_at > $6 AS alive FROM nodes WHERE name = $1
), forgotten AS (
    DELETE FROM nodes WHERE expires_at < $8 AND name <> $1
), noted AS (
    INSERT INTO nodes (name, shards, since, leaving, about, expires_at, host, machine, pid, started)
    VALUES ($1, $2, $3, $4, $5, $7, $11, $12, $13, $14)
    ON CONFLICT (name) DO UPDATE SET
        shards = excluded.shards, since = excluded.since, leaving = excluded.leaving, about = excluded.about,
        expires_at = excluded.expires_at, host = excluded.host, machine = excluded.machine, pid = excluded.pid,
        started = excluded.started
), prolonged AS (
    UPDATE shards AS s SET expires_at = $7
    FROM unnest($9::int[], $10::bigint[]) AS l (shard, fence)
    WHERE s.shard = l.shard AND s.fence = l.fence AND s.owner IS NOT NULL
    RETURNING s.shard
), free AS (
    SELECT shard, coalesce(s.fence, 0) AS fence, s.owner IS NULL AS released
    FROM generate_series(0, $2 - 1) AS shard LEFT JOIN shards AS s USING (shard)
    WHERE s.owner IS NULL OR s.expires_at <= $6
    UNION ALL
    SELECT shard, fence, owner IS NULL FROM shards WHERE shard >= $2 AND (owner IS NULL OR expires_at <= $6)
)
SELECT 'news' AS what, (NOT EXISTS (SELECT 1 FROM before WHERE alive AND leaving = $4))::int::bigint AS number,
       NULL::bigint AS more, NULL::text AS name, NULL::boolean AS flag, NULL::bytea AS about,
       NULL::text AS host, NULL::text AS machine, NULL::int AS pid, NULL::text AS started
UNION ALL
SELECT 'node', since, shards, name, leaving, about, host, machine, pid, started
FROM nodes WHERE name <> $1 AND expires_at > $6
UNION ALL
SELECT 'lost', shard, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM unnest($9::int[]) AS shard WHERE shard NOT IN (SELECT shard FROM prolonged)
UNION ALL
SELECT 'free', shard, fence, NULL, released, NULL, NULL, NULL, NULL, NULL
FROM free WHERE shard NOT IN (SELECT shard FROM prolonged)
UNION ALL
SELECT DISTINCT 'owner', NULL::bigint, NULL::bigint, owner, NULL::boolean, NULL::bytea, host, machine, pid, started
FROM shards WHERE owner <> $1 AND machine = $12 AND expires_at > $6

-- name: shards_of_owners
SELECT shard, fence FROM shards WHERE owner = ANY($1::text[]) ORDER BY shard

-- ── The inbox ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: post
INSERT INTO inbox (shard, kind, execution, step, payload)
SELECT shard, kind, execution, step, payload
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bytea[]) WITH ORDINALITY
    AS item (shard, kind, execution, step, payload, place)
ORDER BY place

-- name: inboxes
SELECT i.id, i.shard, i.kind, coalesce(i.payload, e.body), i.execution, i.step
FROM unnest($1::bigint[], $2::bigint[]) AS seen (shard, id),
     LATERAL (SELECT * FROM inbox WHERE inbox.shard = seen.shard AND inbox.id > seen.id ORDER BY inbox.id LIMIT $3) AS i
     LEFT JOIN events AS e ON e.number = i.event
ORDER BY i.id LIMIT $3

-- ── Executions: writing ──────────────────────────────────────────────────────────────────────────────────────────────
-- Each of the two statements that append is a transaction by itself, or the main part of one. It does nothing unless
-- the writer's epoch ($3) is what it was when its fences were looked at, which whoever takes a shard from it changes;
-- and it notes its mark ($1, $2) before anything else.

-- name: append_history
WITH marked AS (
    INSERT INTO commits (writer, number)
    SELECT id, $2 FROM (SELECT id FROM writers WHERE id = $1 AND epoch = $3 FOR SHARE) AS fenced
    RETURNING 1
), written AS (
    INSERT INTO history (number, execution, seq, events)
    SELECT (pg_current_xact_id()::text::bigint + shift) << 20 | place, execution, seq, events
    FROM marked, numbering,
         unnest($4::bigint[], $5::int[], $6::bytea[]) WITH ORDINALITY AS row (execution, seq, events, place)
)
SELECT count(*) FROM marked

-- name: append
WITH marked AS (
    INSERT INTO commits (writer, number)
    SELECT id, $2 FROM (SELECT id FROM writers WHERE id = $1 AND epoch = $3 FOR SHARE) AS fenced
    RETURNING 1
), written AS (
    INSERT INTO history (number, execution, seq, events)
    SELECT (pg_current_xact_id()::text::bigint + shift) << 20 | place, execution, seq, events
    FROM marked, numbering,
         unnest($4::bigint[], $5::int[], $6::bytea[]) WITH ORDINALITY AS row (execution, seq, events, place)
), created AS (
    INSERT INTO executions (key, id, shard, workflow, version, digest, created_at, start_key, start_digest, tags,
                            parent, forked_from, status, hot, wake_at, started_at, finished_at, error)
    SELECT key, id, shard, workflow, version, digest, created_at, start_key, start_digest,
           CASE WHEN tags IS NULL THEN '{}' ELSE array(SELECT json_array_elements_text(tags::json)) END,
           parent, forked_from, status, hot, wake_at, started_at, finished_at, error
    FROM marked,
         unnest($7::bigint[], $8::text[], $9::int[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::text[],
                $15::bytea[], $16::text[], $17::text[], $18::text[], $19::text[], $20::boolean[], $21::bigint[],
                $22::bigint[], $23::bigint[], $24::text[])
             AS row (key, id, shard, workflow, version, digest, created_at, start_key, start_digest, tags, parent,
                     forked_from, status, hot, wake_at, started_at, finished_at, error)
), summarised AS (
    UPDATE executions AS e
    SET status = row.status, hot = row.hot, wake_at = row.wake_at, started_at = row.started_at,
        finished_at = row.finished_at, error = row.error
    FROM marked,
         unnest($25::bigint[], $26::text[], $27::boolean[], $28::bigint[], $29::bigint[], $30::bigint[], $31::text[])
             AS row (key, status, hot, wake_at, started_at, finished_at, error)
    WHERE e.key = row.key
), kept AS (
    INSERT INTO snapshots (execution, seq, state)
    SELECT execution, seq, state
    FROM marked, unnest($32::bigint[], $33::int[], $34::bytea[]) AS row (execution, seq, state)
    ON CONFLICT (execution) DO UPDATE SET seq = excluded.seq, state = excluded.state
), ended AS (
    DELETE FROM waits
    USING marked, unnest($35::bytea[], $36::bigint[], $37::bigint[], $38::bytea[])
             AS row (type_digest, key, execution, step_digest)
    WHERE waits.type_digest = row.type_digest AND waits.key = row.key AND waits.execution = row.execution
      AND waits.step_digest = row.step_digest
), consumed AS (
    DELETE FROM inbox USING marked WHERE id = ANY($39::bigint[])
), held AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(each) FROM marked, unnest($40::bigint[]) AS each
), posted AS (
    INSERT INTO inbox (shard, kind, execution, step, payload)
    SELECT shard, kind, execution, step, payload
    FROM unnest($41::bigint[], $42::text[], $43::text[], $44::text[], $45::bytea[]) WITH ORDINALITY
        AS item (shard, kind, execution, step, payload, place)
    WHERE (SELECT count(*) FROM held) > 0
    ORDER BY place
)
SELECT count(*) FROM marked

-- name: move_to_versions
UPDATE executions AS e SET version = row.version, digest = row.digest
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS row (key, version, digest)
WHERE e.key = row.key

-- name: begin_waits
INSERT INTO waits (type_digest, key, execution, step_digest, step)
SELECT type_digest, key, execution, step_digest, step
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[], $5::text[])
    AS row (type_digest, key, execution, step_digest, step)
ON CONFLICT DO NOTHING

-- Events that came before the wait began. Those with very many fields are filed under the key 1 (and 0, as all are).
-- What is locked here cannot be forgotten before it is in the inbox.
-- name: early_events
SELECT shard, id, row.step, e.number
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[])
    AS row (type_digest, key, execution, step, since)
JOIN event_keys AS k ON k.type_digest = row.type_digest AND k.received_at >= row.since
    AND k.key = ANY(ARRAY[row.key, CASE row.key WHEN 0 THEN 0 ELSE 1 END])
JOIN executions AS x ON x.key = row.execution
JOIN events AS e ON e.number = k.event
ORDER BY e.number, row.execution, row.step
FOR KEY SHARE OF e

-- name: post_events
INSERT INTO inbox (shard, kind, execution, step, event)
SELECT shard, $1, execution, step, event
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY AS item (shard, execution, step, event, place)
ORDER BY place

-- name: new_keys
SELECT nextval('execution_keys') FROM generate_series(1, $1::int)

-- ── Executions: reading ──────────────────────────────────────────────────────────────────────────────────────────────

-- name: execution
SELECT key, id, shard, workflow, version, digest, created_at, start_key, tags, parent, forked_from,
       status, hot, wake_at, started_at, finished_at, error
FROM executions WHERE id = $1

-- name: snapshot
SELECT seq, state FROM snapshots WHERE execution = $1

-- name: history_rows
SELECT seq, events FROM history WHERE execution = $1 AND seq > $2 ORDER BY seq

-- name: history_of
SELECT seq, events FROM history
WHERE execution = (SELECT key FROM executions WHERE id = $1) AND seq > $2 ORDER BY seq LIMIT $3

-- name: children
SELECT id FROM executions WHERE parent >= $1 || '/' AND parent < $1 || '0' ORDER BY created_at, key

-- name: find_start
SELECT id FROM executions WHERE start_digest = $1

-- name: hot
SELECT id FROM executions WHERE shard = $1 AND hot ORDER BY created_at, key

-- name: unfinished
SELECT count(*) FROM executions WHERE shard = $1 AND status NOT IN ('completed', 'failed', 'cancelled')

-- Each shard is looked up by itself: to ask for the lowest number has the index read, and no more of it than one entry.
-- name: unfinished_shards
SELECT shard FROM shards
WHERE (SELECT min(e.shard) FROM executions AS e
       WHERE e.shard = shards.shard AND e.status NOT IN ('completed', 'failed', 'cancelled')) IS NOT NULL
   OR (SELECT min(e.shard) FROM executions AS e WHERE e.shard = shards.shard AND e.hot) IS NOT NULL
UNION
SELECT shard FROM inbox WHERE kind IN ('start', 'start_child', 'compensate_self')
ORDER BY shard

-- name: due
SELECT due.id
FROM unnest($1::int[]) AS shard,
     LATERAL (SELECT id, wake_at, key FROM executions AS e WHERE e.shard = shard.shard AND NOT hot AND wake_at <= $2
              ORDER BY wake_at, key LIMIT $3) AS due
ORDER BY due.wake_at, due.key LIMIT $3

-- name: next_wake
SELECT min(at)
FROM unnest($1::int[]) AS shard,
     LATERAL (SELECT min(wake_at) AS at FROM executions AS e
              WHERE e.shard = shard.shard AND NOT hot AND wake_at IS NOT NULL) AS next

-- ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: store_events
INSERT INTO events (digest, received_at, keep_until, body)
SELECT digest, received_at, keep_until, body
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[]) WITH ORDINALITY
    AS event (digest, received_at, keep_until, body, place)
ORDER BY place
ON CONFLICT (digest) DO NOTHING RETURNING digest, number

-- name: file_events
WITH filed AS (
    INSERT INTO event_keys (type_digest, key, received_at, event)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[])
)
SELECT asked.place, e.shard, e.id, w.step
FROM unnest($5::bigint[], $6::bytea[], $7::bigint[]) AS asked (place, type_digest, key)
     JOIN waits AS w ON w.type_digest = asked.type_digest AND w.key = asked.key
     JOIN executions AS e ON e.key = w.execution
ORDER BY asked.place, w.execution, w.step

-- name: events_to_forget
SELECT number FROM events
WHERE keep_until <= $1
  AND received_at < coalesce(
      (SELECT min(created_at) FROM executions WHERE status NOT IN ('completed', 'failed', 'cancelled')),
      9223372036854775807
  )
ORDER BY keep_until LIMIT $2
FOR UPDATE SKIP LOCKED

-- Inbox items keep what they need of an event that is forgotten.
-- name: keep_payloads
UPDATE inbox SET payload = e.body, event = NULL
FROM events AS e WHERE inbox.event = e.number AND e.number = ANY($1::bigint[])

-- name: forget_events
WITH keys AS (DELETE FROM event_keys WHERE event = ANY($1::bigint[]))
DELETE FROM events WHERE number = ANY($1::bigint[])

-- ── Locks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- name: lock_names_of
SELECT name FROM locks WHERE execution = ANY($1::bigint[])

-- name: request_locks
INSERT INTO locks (name_digest, execution, step_digest, slots, since, name, step)
SELECT name_digest, execution, step_digest, slots, since, name, step
FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::int[], $5::bigint[], $6::text[], $7::text[]) WITH ORDINALITY
    AS row (name_digest, execution, step_digest, slots, since, name, step, place)
ORDER BY place
ON CONFLICT (name_digest, execution, step_digest) DO NOTHING

-- name: release_locks
DELETE FROM locks USING unnest($1::bytea[], $2::bigint[], $3::bytea[]) AS row (name_digest, execution, step_digest)
WHERE locks.name_digest = row.name_digest AND locks.execution = row.execution AND locks.step_digest = row.step_digest

-- name: release_locks_of
DELETE FROM locks WHERE execution = ANY($1::bigint[])

-- name: asked_for_locks
SELECT l.name, l.execution, l.step FROM locks AS l
JOIN unnest($1::bytea[], $2::bigint[], $3::bytea[]) AS row (name_digest, execution, step_digest)
    ON l.name_digest = row.name_digest AND l.execution = row.execution AND l.step_digest = row.step_digest

-- name: count_holders
SELECT count(*) FROM locks WHERE name_digest = $1 AND held

-- name: lock_line
SELECT l.slots, l.number, e.id, e.shard, l.step, l.since
FROM locks AS l JOIN executions AS e ON e.key = l.execution
WHERE l.name_digest = $1 AND NOT l.held AND l.number > $2 ORDER BY l.number LIMIT $3

-- Those who stand before another in line, holders too, and have not been told to make room.
-- name: locks_before
SELECT b.number, e.id, e.shard
FROM locks AS l
JOIN locks AS b ON b.name_digest = l.name_digest AND b.number < l.number AND b.execution <> l.execution AND NOT b.told
JOIN executions AS e ON e.key = b.execution
WHERE l.name_digest = $1 AND l.execution = $2 AND l.step_digest = $3 AND NOT l.held ORDER BY b.number

-- name: tell_locks
UPDATE locks SET told = TRUE WHERE number = ANY($1::bigint[])

-- name: hold_locks
UPDATE locks SET held = TRUE WHERE number = ANY($1::bigint[])

-- name: locks
SELECT l.name, e.id, l.step, l.slots, l.since, l.held
FROM locks AS l JOIN executions AS e ON e.key = l.execution
WHERE $1::bytea IS NULL OR l.name_digest = $1
ORDER BY l.name, l.number
