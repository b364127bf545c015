-- The journal of runs. In `meta`, `tables` numbers the tables and `events` the alphabet of events (joblot.core.events.SCHEMA).
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- One row a run. status, ended_at and counts repeat what the events say, so that a list of runs needs no reading of events.
CREATE TABLE IF NOT EXISTS run (
  number INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  batch TEXT NOT NULL,
  source TEXT NOT NULL,
  jobs INTEGER NOT NULL,
  started_at REAL NOT NULL,
  status TEXT NOT NULL DEFAULT 'running',
  ended_at REAL,
  counts TEXT NOT NULL DEFAULT '{}',
  plan BLOB NOT NULL
);

-- One row a decision, append-only. id = run.number * 2^36 + seq of its first event, so that a run is one range of the primary key.
-- events is a JSON array; chain is the hash over the chain before, seq, at and events.
CREATE TABLE IF NOT EXISTS record (id INTEGER PRIMARY KEY, at REAL NOT NULL, events BLOB NOT NULL, chain BLOB NOT NULL);

-- What one process asks of the process that drives a run.
CREATE TABLE IF NOT EXISTS request (run INTEGER NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, by TEXT NOT NULL);

-- The last success of each job that declares outputs, by batch (its folder and name). parts, files and result are JSON.
CREATE TABLE IF NOT EXISTS made (
  batch TEXT NOT NULL,
  job TEXT NOT NULL,
  parts BLOB NOT NULL,
  files BLOB NOT NULL,
  result BLOB NOT NULL,
  run TEXT NOT NULL,
  at REAL NOT NULL,
  PRIMARY KEY (batch, job)
) WITHOUT ROWID;

-- For people with a SQLite shell.
CREATE VIEW IF NOT EXISTS event AS
  SELECT run.run_id, (record.id & 68719476735) + item.key AS seq, record.at, item.value ->> 'type' AS type, item.value AS body
  FROM record JOIN run ON run.number = record.id >> 36, json_each(CAST(record.events AS TEXT)) AS item;
