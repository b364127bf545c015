-- What is kept of schedules, made with the first of them. A schedule is known by the path of its batch file.

-- What a batch file asked for when it was looked at last, and since when, what its owner was told of it last, why nothing could be decided then
CREATE TABLE IF NOT EXISTS schedule (
  source TEXT PRIMARY KEY,
  asked TEXT NOT NULL,
  since REAL NOT NULL,
  told TEXT NOT NULL DEFAULT '',
  held TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- What became of due times: of one (`at`), or of all of a batch file from `first` to `at`. A row is there before its run is
CREATE TABLE IF NOT EXISTS due (
  source TEXT NOT NULL,
  at INTEGER NOT NULL,
  first INTEGER NOT NULL,
  fate TEXT NOT NULL,
  run TEXT NOT NULL DEFAULT '',
  why TEXT NOT NULL DEFAULT '',
  count INTEGER NOT NULL DEFAULT 1,
  more INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (source, at)
) WITHOUT ROWID;

-- The few whose runs have not begun are looked for at every look
CREATE INDEX IF NOT EXISTS due_claimed ON due (source) WHERE fate = 'claimed';

-- When the schedules of a folder were looked at last
CREATE TABLE IF NOT EXISTS look (folder TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID
