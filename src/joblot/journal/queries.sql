-- insert_run: a run without events
INSERT INTO run (run_id, batch, source, jobs, started_at, plan) VALUES (?, ?, ?, ?, ?, ?)

-- insert_record: what one decision recorded
INSERT INTO record (id, at, events, chain) VALUES (?, ?, ?, ?)

-- records_with: the records that have a text, of all runs, the newest run first
SELECT run.run_id, record.at, record.events FROM record JOIN run ON run.number = record.id >> 36
WHERE instr(record.events, CAST(? AS BLOB)) ORDER BY record.id DESC

-- last_record: where a run's chain ends
SELECT id, at, events, chain FROM record WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1

-- records: a run's records in order
SELECT id, at, events, chain FROM record WHERE id BETWEEN ? AND ? ORDER BY id

-- records_from_the_end: the same the other way round, to come to what lies behind a damaged page
SELECT id, at, events, chain FROM record WHERE id BETWEEN ? AND ? ORDER BY id DESC

-- has_runs_of: whether there is a run of a batch file, or of a batch without a file that has the name
SELECT EXISTS (SELECT 1 FROM run WHERE source = :source AND (source <> '' OR batch = :batch))

-- has_other_batches: whether there is a run of a batch of another name
SELECT EXISTS (SELECT 1 FROM run WHERE batch <> ?)

-- whole_runs: all that is kept of runs, oldest first
SELECT number, run_id, batch, source, jobs, status, started_at, ended_at, counts, plan FROM run ORDER BY number

-- insert_whole_run: a run with all that was kept of it
INSERT INTO run (number, run_id, batch, source, jobs, status, started_at, ended_at, counts, plan) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- run_number: the number that stands for a run id
SELECT number FROM run WHERE run_id = ?

-- run_plan: the plan as stored
SELECT plan FROM run WHERE run_id = ?

-- runs: all runs, newest first
SELECT run_id, batch, source, jobs, status, started_at, ended_at, counts FROM run ORDER BY number DESC

-- chosen_runs: which runs are of a batch (its name, or its file), have one of the statuses and began in a span of time, newest first; each with its plan and its last record, where these are asked for. A row that cannot be compared is one of them
SELECT number, batch, started_at, ended_at, CASE WHEN :plans THEN plan END,
  CASE WHEN :ends THEN (SELECT events FROM record WHERE id BETWEEN run.number << 36 AND run.number << 36 | 68719476735 ORDER BY id DESC LIMIT 1) END
FROM run WHERE (:batch = '' OR batch = :batch OR source = :source)
  AND (:statuses = '[]' OR status IN (SELECT value FROM json_each(:statuses)))
  AND started_at >= :since AND started_at < :until
  OR typeof(batch) <> 'text' OR typeof(status) <> 'text' OR typeof(started_at) <> 'real'
ORDER BY number DESC

-- run_of_number: one run, by its number
SELECT run_id, batch, source, jobs, status, started_at, ended_at, counts FROM run WHERE number = ?

-- last_good_runs: the last runs of a batch that succeeded, newest first
SELECT run_id, batch, source, jobs, status, started_at, ended_at, counts FROM run
WHERE batch = ? AND status = 'success' ORDER BY number DESC LIMIT ?

-- run_ids: the ids of all runs
SELECT run_id FROM run

-- span_of_runs: the first and the last number of a run, and how many there are
SELECT ifnull(min(number), 0), ifnull(max(number), 0), count(*) FROM run

-- run_from_number: the first run from a number on
SELECT run_id FROM run WHERE number >= ? LIMIT 1

-- matching_runs: the runs whose ids begin or end with a text, newest first
SELECT run_id, batch, source, jobs, status, started_at, ended_at, counts FROM run
WHERE substr(run_id, 1, length(:text)) = :text OR substr(run_id, -length(:text)) = :text ORDER BY number DESC

-- programs_without_end: the runs that programs recorded and that have no end
SELECT run_id FROM run WHERE status = 'running' AND length(plan) = 0

-- run_bytes: about what a run takes of the file
SELECT length(plan) + ifnull((SELECT sum(length(events)) + 48 * count(*) FROM record WHERE id BETWEEN :first AND :last), 0) + 256 FROM run WHERE number = :number

-- delete_records: a run's records
DELETE FROM record WHERE id BETWEEN ? AND ?

-- delete_requests: what was asked of a run
DELETE FROM request WHERE run = ?

-- delete_run: a run's row
DELETE FROM run WHERE number = ?

-- open_runs: the runs that have no end, oldest first
SELECT run_id, batch, source FROM run WHERE status = 'running' ORDER BY number

-- run_info: one run
SELECT run_id, batch, source, jobs, status, started_at, ended_at, counts FROM run WHERE run_id = ?

-- summarise: what a list of runs shows of one that has ended or goes on
UPDATE run SET status = ?, ended_at = ?, counts = ? WHERE run_id = ?

-- insert_request: ask the driving process for something
INSERT INTO request (run, at, kind, by) VALUES (?, ?, ?, ?)

-- requests: what was asked of a run
SELECT rowid, kind, by, at FROM request WHERE run = ? ORDER BY rowid

-- drop_requests: forget what was taken
DELETE FROM request WHERE run = ? AND rowid <= ?

-- last_successes: the last successes of a batch's jobs
SELECT job, parts, files, result, run, at FROM made WHERE batch = ?

-- batches_made: the batches of which last successes are kept
SELECT DISTINCT batch FROM made

-- all_last_successes: the last successes of all batches' jobs
SELECT batch, job, parts, files, result, run, at FROM made

-- save_last_success: a job's last success, in place of the one before
INSERT OR REPLACE INTO made (batch, job, parts, files, result, run, at) VALUES (?, ?, ?, ?, ?, ?, ?)

-- tables: which tables there are
SELECT name FROM sqlite_master WHERE type = 'table'

-- numbers: the numbers of the tables and of the alphabet of events
SELECT key, value FROM meta WHERE typeof(value) = 'integer'

-- schedule: what was kept of a batch file's schedule
SELECT asked, since, told, held FROM schedule WHERE source = :source

-- schedules: the batch files of a folder whose schedules are kept
SELECT source FROM schedule WHERE substr(source, 1, length(:folder)) = :folder AND asked <> ''

-- save_schedule: what a batch file asks for from now on
INSERT INTO schedule (source, asked, since) VALUES (:source, :asked, :since)
ON CONFLICT (source) DO UPDATE SET asked = :asked, since = :since, held = ''

-- tell_of_schedule: what was said of a batch file last
INSERT INTO schedule (source, asked, since, told) VALUES (:source, '', 0, :told) ON CONFLICT (source) DO UPDATE SET told = :told

-- hold_schedule: why nothing could be decided
UPDATE schedule SET held = :why WHERE source = :source

-- look: when a folder was looked at
SELECT at FROM look WHERE folder = :folder

-- save_look: that it is looked at now
INSERT OR REPLACE INTO look (folder, at) VALUES (:folder, :at)

-- drop_to_come: forget what was missed at times that are to come, after the clock was set back
DELETE FROM due WHERE first > :now AND fate IN ('missed', 'merged')

-- cut_to_come: the same of what has come in part
UPDATE due SET at = :now WHERE at > :now AND fate IN ('missed', 'merged')

-- set_back_schedules: schedules that are known since a time that is to come
UPDATE schedule SET since = :now WHERE since > :now

-- last_due: the last due time of which something became until now
SELECT max(at) FROM due WHERE source = :source AND at <= :now

-- taken_dues: the due times of a span of time that have a row
SELECT first, at FROM due WHERE source = :source AND at > :last AND first <= :now

-- insert_due: what becomes of due times
INSERT INTO due (source, at, first, fate, run, why, count, more) VALUES (:source, :at, :first, :fate, :run, :why, :count, :more)

-- cut_due: due times that are told together without the last of them
UPDATE due SET at = :at - 1, count = max(count - 1, 1) WHERE source = :source AND at = :at AND first < :at

-- claim_due: another run for a due time that has a row
UPDATE due SET fate = 'claimed', run = :run, why = '', count = 1, more = 0, first = :at WHERE source = :source AND at = :at

-- settle_due: what became of a due time whose run had not begun
UPDATE due SET fate = :fate, why = :why WHERE source = :source AND at = :at AND run = :run AND fate = 'claimed'

-- count_due: that its run was killed before it had begun
UPDATE due SET count = count + 1 WHERE source = :source AND at = :at

-- claimed_due: the due time for which a run is to begin, the run, whether it has begun, which try this is
SELECT at, run, EXISTS (SELECT 1 FROM run WHERE run_id = due.run), count FROM due WHERE source = :source AND fate = 'claimed' ORDER BY at LIMIT 1

-- one_due: what became of one due time, or of those around it
SELECT at, first, fate, run, why, count, more FROM due WHERE source = :source AND at >= :at AND first <= :at ORDER BY at LIMIT 1

-- last_dues: what became of the last due times of a batch file, newest first
SELECT at, first, fate, run, why, count, more FROM due WHERE source = :source ORDER BY at DESC LIMIT :limit

-- last_scheduled: the last run that was started for a due time
SELECT run FROM due WHERE source = :source AND fate IN ('claimed', 'started') ORDER BY at DESC LIMIT 1
