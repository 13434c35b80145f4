-- Figures about a database, and what is wrong with it. For PostgreSQL.

-- name: tables_of_schema
SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'

-- name: size_of_schema
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'

-- name: count_by_status
SELECT status, count(*) FROM executions GROUP BY status ORDER BY status

-- name: count_dead_letters
SELECT (SELECT count(*) FROM dead_letters WHERE discarded IS NULL)
       + (SELECT count(*) FROM documents WHERE kind = $1)

-- Columns, indexes, constraints and sequences; where an index or a reference names the schema, that is left out.
-- name: parts_of_schema
SELECT 'column ' || c.relname || '.' || a.attname,
       concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                 nullif(a.attidentity, ''), l.collname, pg_get_expr(d.adbin, d.adrelid))
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_collation AS l ON l.oid = a.attcollation AND l.collname <> 'default'
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'
UNION ALL
SELECT 'index ' || c.relname, replace(replace(pg_get_indexdef(c.oid), quote_ident($1) || '.', ''), 'pg_temp.', '')
FROM pg_class AS c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'i'
UNION ALL
SELECT 'constraint ' || r.conname, replace(pg_get_constraintdef(r.oid), quote_ident($1) || '.', '')
FROM pg_constraint AS r WHERE r.connamespace = to_regnamespace($1) AND r.contype <> 'n'
UNION ALL
SELECT 'sequence ' || c.relname, concat_ws(' ', format_type(s.seqtypid, NULL), s.seqincrement, s.seqmin, s.seqmax)
FROM pg_class AS c JOIN pg_sequence AS s ON s.seqrelid = c.oid WHERE c.relnamespace = to_regnamespace($1)
UNION ALL
SELECT 'function ' || p.proname, pg_get_functiondef(p.oid)
FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace($1)
UNION ALL
SELECT 'trigger ' || t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = to_regnamespace($1) AND NOT t.tgisinternal

-- name: temporary_schema
SELECT nspname::text FROM pg_namespace WHERE oid = pg_my_temp_schema()

-- ── What must not be ─────────────────────────────────────────────────────────────────────────────────────────────────

-- name: history_without_execution
SELECT DISTINCT execution FROM history AS h WHERE NOT EXISTS (SELECT 1 FROM executions WHERE key = h.execution)
ORDER BY execution LIMIT 100

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

-- name: rows_of_no_execution
SELECT DISTINCT kind, execution FROM (
    SELECT 'snapshots' AS kind, execution FROM snapshots
    UNION ALL SELECT 'waits', execution FROM waits
    UNION ALL SELECT 'locks', execution FROM locks
) AS r WHERE NOT EXISTS (SELECT 1 FROM executions WHERE key = r.execution) ORDER BY kind, execution LIMIT 100

-- name: rows_of_no_event
SELECT DISTINCT kind, event FROM (
    SELECT 'event_keys' AS kind, event FROM event_keys
    UNION ALL SELECT 'inbox', event FROM inbox WHERE event IS NOT NULL
) AS r WHERE NOT EXISTS (SELECT 1 FROM events WHERE number = r.event) ORDER BY kind, event LIMIT 100

-- name: executions_of_no_shard
SELECT id, shard FROM executions AS e WHERE NOT EXISTS (SELECT 1 FROM shards WHERE shard = e.shard)
ORDER BY key LIMIT 100

-- name: waits_of_ended
SELECT e.id, w.step, e.status FROM waits AS w JOIN executions AS e ON e.key = w.execution
WHERE e.status IN ('completed', 'failed', 'cancelled') ORDER BY e.key, w.step LIMIT 100

-- name: executions_without_definition
SELECT id, digest FROM executions AS e WHERE NOT EXISTS (SELECT 1 FROM definitions WHERE digest = e.digest)
ORDER BY key LIMIT 100

-- name: locks_of_ended
SELECT e.id, l.name, e.status FROM locks AS l JOIN executions AS e ON e.key = l.execution
WHERE e.status IN ('completed', 'failed', 'cancelled') ORDER BY e.key, l.name LIMIT 100

-- A lock is granted in the transaction that makes it free, so the first in line can never have a place.
-- name: locks_not_granted
SELECT name, id FROM (
    SELECT DISTINCT ON (l.name) l.name, e.id, l.slots,
           (SELECT count(*) FROM locks AS h WHERE h.name = l.name AND h.held) AS holders
    FROM locks AS l JOIN executions AS e ON e.key = l.execution WHERE NOT l.held ORDER BY l.name, l.number
) AS line WHERE holders < slots ORDER BY name LIMIT 100

-- name: dead_letters_without_history
SELECT id, execution FROM dead_letters AS d
WHERE NOT EXISTS (SELECT 1 FROM history AS h JOIN executions AS e ON e.key = h.execution
                  WHERE e.id = d.execution AND h.seq >= d.seq) ORDER BY number LIMIT 100

-- name: registrations_of_another
SELECT r.name, r.version, d.name || ' ' || d.version FROM registrations AS r JOIN definitions AS d USING (digest)
WHERE (r.name, r.version) <> (d.name, d.version) ORDER BY r.name, r.version LIMIT 100

-- name: chains_without_end
SELECT kind, number FROM chains AS c
WHERE NOT EXISTS (SELECT 1 FROM journal WHERE kind = c.kind AND number = c.number AND hash = c.hash) ORDER BY kind

-- name: chained_without_chain
SELECT DISTINCT kind FROM journal AS j WHERE hash IS NOT NULL AND NOT EXISTS (SELECT 1 FROM chains WHERE kind = j.kind)
