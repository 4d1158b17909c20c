"""The tables of a job's journal, and how those of earlier versions become those of today.

``content`` is a file's SHA-256 in hexadecimal, or ``url:`` and a digest for a link. ``question`` and ``job``
are the keys of visionpipe.stages.keys. A NULL means: not known, or does not apply.

A version is never changed once it was released: a change is a further script, and what is recorded is found
under the same keys as before.
"""

from __future__ import annotations

from visionpipe.sources.own_files import JOURNAL_MARK
from visionpipe.store.database import Schema

_FIRST = """
CREATE TABLE jobs (              -- one row for each recipe that was ever run on this journal
  job         TEXT PRIMARY KEY,
  model       TEXT NOT NULL,
  template    TEXT NOT NULL,     -- the prompt before an item's fields are put in
  parameters  TEXT NOT NULL,     -- JSON object
  schema      TEXT,              -- JSON schema
  preparation INTEGER NOT NULL,  -- version of how images are made ready
  first_run   INTEGER NOT NULL,
  last_run    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (              -- one row for each start of the program
  run      INTEGER PRIMARY KEY,
  job      TEXT NOT NULL,
  pid      INTEGER NOT NULL,
  started  REAL NOT NULL,
  ended    REAL,                 -- NULL: under way, or killed
  ending   TEXT                  -- complete, or what stopped it
);

CREATE TABLE sources (           -- every file that was ever read, so that it is not read again unchanged
  source      TEXT PRIMARY KEY,
  location    TEXT NOT NULL,
  size        INTEGER NOT NULL,  -- bytes
  modified_ns INTEGER NOT NULL,  -- nanoseconds since 1970
  content     TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE sent (              -- requests under way; what is left here after a kill may have been billed
  source   TEXT NOT NULL,
  question TEXT NOT NULL,
  content  TEXT NOT NULL,
  run      INTEGER NOT NULL,
  at       REAL NOT NULL,
  tokens   INTEGER,              -- estimated, prompt and answer
  cost     TEXT,                 -- estimated
  currency TEXT,
  PRIMARY KEY (source, question)
) WITHOUT ROWID;

CREATE TABLE attempts (          -- every request that was sent
  attempt           INTEGER PRIMARY KEY,
  run               INTEGER NOT NULL,
  job               TEXT NOT NULL,
  source            TEXT NOT NULL,
  question          TEXT NOT NULL,
  at                REAL NOT NULL,     -- when it ended
  seconds           REAL NOT NULL,
  request_id        TEXT,
  failed_with       TEXT,              -- the error's code; NULL: answered; 'killed': the run ended before it
  billable          INTEGER NOT NULL,  -- 1: answered, or may have been billed
  refused           INTEGER NOT NULL,  -- 1: too many at once (429), sent again later
  tokens            INTEGER,           -- as billed; estimated where killed or timed out
  cost              TEXT,
  currency          TEXT
);

CREATE TABLE results (           -- the one end that each source came to, for each question
  result            INTEGER PRIMARY KEY,
  source            TEXT NOT NULL,
  question          TEXT NOT NULL,
  job               TEXT NOT NULL,
  run               INTEGER NOT NULL,
  recorded          REAL NOT NULL,
  content           TEXT,
  outcome           TEXT NOT NULL,     -- done, failed, skipped
  caption           TEXT,
  data              TEXT,              -- JSON, where a schema was asked for
  model             TEXT,
  local             INTEGER NOT NULL,  -- 1: answered by the embedded engine
  prompt_tokens     INTEGER,
  completion_tokens INTEGER,
  cached_tokens     INTEGER,           -- part of prompt_tokens
  reasoning_tokens  INTEGER,           -- part of completion_tokens
  cost              TEXT,
  currency          TEXT,              -- ISO 4217
  finish_reason     TEXT,
  adjustments       TEXT,              -- JSON array of {kind, subject, detail}
  notes             TEXT,              -- JSON array of {kind, detail}
  request_id        TEXT,
  attempts          INTEGER NOT NULL,
  failure           TEXT,              -- JSON {error, code, reason, cure, retryable, scope, request_id}
  retryable         INTEGER NOT NULL,  -- 1: failed in a way that may pass
  reason            TEXT,              -- why it was skipped
  duplicate_of      TEXT,              -- the source whose answer is shared
  seconds           REAL NOT NULL,
  UNIQUE (source, question)
);
CREATE INDEX results_by_content ON results (content, question);

CREATE TABLE looks (             -- perceptual hashes, where near duplicates were asked for
  content TEXT PRIMARY KEY,
  source  TEXT NOT NULL,         -- the first source with this content
  dhash   INTEGER NOT NULL,      -- 64 bits, as a signed number
  band0   INTEGER NOT NULL,      -- its four runs of 16 bits, the highest first
  band1   INTEGER NOT NULL,
  band2   INTEGER NOT NULL,
  band3   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX looks_band0 ON looks (band0);
CREATE INDEX looks_band1 ON looks (band1);
CREATE INDEX looks_band2 ON looks (band2);
CREATE INDEX looks_band3 ON looks (band3);
"""

WRITTEN = """
CREATE TABLE IF NOT EXISTS written (  -- the files that outputs wrote, by which they are known again as ours
  place       BLOB PRIMARY KEY,  -- the file's path in bytes; below the journal's folder, relative to that
  size        INTEGER NOT NULL,  -- bytes
  modified_ns INTEGER NOT NULL,  -- nanoseconds since 1970
  digest      TEXT,              -- SHA-256 of its bytes in hexadecimal; NULL: being written
  around      TEXT,              -- JSON ["append" or "prepend", somebody else's text that stands in it too]
  jobs        TEXT NOT NULL      -- JSON list: the jobs whose results were written to it
) WITHOUT ROWID;
"""

_SECOND = """
ALTER TABLE results ADD COLUMN preparation INTEGER NOT NULL DEFAULT 1;  -- version that made the image ready

CREATE TABLE IF NOT EXISTS features (  -- feature vectors, where near duplicates by features were asked for
  id      INTEGER PRIMARY KEY,
  content TEXT NOT NULL UNIQUE,
  source  TEXT NOT NULL,         -- the first source with this content
  version INTEGER NOT NULL,      -- of how vectors are made; others cannot be compared
  first   INTEGER NOT NULL,      -- 1: like none before it; later ones are compared with it
  vector  BLOB NOT NULL          -- one signed byte a number
);

CREATE TABLE IF NOT EXISTS batch_files (  -- files of lines for the service's batches
  file     INTEGER PRIMARY KEY,
  job      TEXT NOT NULL,
  name     TEXT NOT NULL,      -- on this disk and at the service; no other file has it
  state    TEXT NOT NULL,      -- writing, written, uploaded, created
  lines    INTEGER NOT NULL,
  size     INTEGER NOT NULL,   -- bytes
  file_id  TEXT,
  batch_id TEXT
);

CREATE TABLE IF NOT EXISTS batch_lines (
  line        INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, so that later ones are greater
  file        INTEGER NOT NULL,
  custom_id   TEXT NOT NULL,   -- the same for items of the same bytes and question: they share one line
  source      TEXT NOT NULL,
  question    TEXT NOT NULL,
  content     TEXT NOT NULL,
  adjustments TEXT NOT NULL,   -- JSON array of {kind, subject, detail}
  begun       REAL NOT NULL,   -- seconds since 1970
  tokens      INTEGER,         -- estimated, prompt and answer; NULL for who shares another's line
  cost        TEXT,            -- estimated, decimal text
  currency    TEXT,
  ended       INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS batch_lines_id ON batch_lines (custom_id);
CREATE INDEX IF NOT EXISTS batch_lines_source ON batch_lines (source, question);
CREATE INDEX IF NOT EXISTS batch_lines_file ON batch_lines (file, ended);
"""
"""In journals of version 1 these tables were made when they were first needed."""

_THIRD = """
CREATE TABLE edits (             -- every step of a review, in order; none is ever changed or removed
  edit    INTEGER PRIMARY KEY,
  action  INTEGER NOT NULL,      -- what was done at once and is taken back at once
  at      REAL NOT NULL,         -- seconds since 1970
  who     TEXT NOT NULL,
  kind    TEXT NOT NULL,         -- edit, choose, accept, reject, reopen, undo
  source  TEXT NOT NULL,
  shape   TEXT NOT NULL,         -- of the answers: '' for text, else a digest of the JSON schema of the data
  field   TEXT NOT NULL,         -- caption, data, verdict
  before  TEXT,                  -- NULL: as the model said it, or no verdict
  after   TEXT,
  undoes  INTEGER                -- the action that is taken back
);
CREATE INDEX edits_by_action ON edits (action);
CREATE INDEX edits_by_source ON edits (source, shape);
CREATE INDEX edits_by_undone ON edits (undoes) WHERE undoes IS NOT NULL;

CREATE TABLE reviewed (          -- what stands of the edits, which outputs show in the answers' place
  source  TEXT NOT NULL,
  shape   TEXT NOT NULL,
  caption TEXT,                  -- NULL: as the model said it
  data    TEXT,                  -- JSON, likewise
  verdict TEXT,                  -- accepted, rejected; NULL: none yet
  who     TEXT NOT NULL,         -- whose the last step was
  at      REAL NOT NULL,
  PRIMARY KEY (source, shape)
) WITHOUT ROWID;
"""

_FOURTH = """
ALTER TABLE edits ADD COLUMN content TEXT NOT NULL DEFAULT '';  -- of the picture it is about; '': not known

CREATE TABLE reviews (           -- what stands of the edits, each of one picture
  source  TEXT NOT NULL,
  shape   TEXT NOT NULL,
  content TEXT NOT NULL,         -- of the picture, so that another one of the name has no part in it
  caption TEXT,                  -- NULL: as the model said it
  data    TEXT,                  -- JSON, likewise
  verdict TEXT,                  -- accepted, rejected; NULL: none yet
  who     TEXT NOT NULL,         -- whose the last step was
  at      REAL NOT NULL,
  PRIMARY KEY (source, shape, content)
) WITHOUT ROWID;
INSERT INTO reviews (source, shape, content, caption, data, verdict, who, at)
  SELECT source, shape, ifnull((SELECT content FROM results WHERE results.source = reviewed.source
    AND content IS NOT NULL AND recorded <= reviewed.at ORDER BY recorded DESC LIMIT 1), ''),
    caption, data, verdict, who, at FROM reviewed;
UPDATE edits SET content = ifnull((SELECT content FROM reviews
  WHERE reviews.source = edits.source AND reviews.shape = edits.shape), '');
DROP TABLE reviewed;
"""

JOURNAL = Schema("journal", JOURNAL_MARK, (_FIRST, _SECOND + WRITTEN, _THIRD, _FOURTH))
"""The application_id is "VPJL"."""
