PRAGMA application_id = 1448102476;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
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
INSERT INTO "attempts" VALUES(1,1,'7263760e30ae48981f422cede4d5ca30','a.jpg','c57e2f427100d82ccd0c9b30e92f3591',1.79577665124525690074e+09,1.17000000045663909986e-04,'a.jpg-1',NULL,1,0,110,NULL,NULL);
INSERT INTO "attempts" VALUES(2,1,'7263760e30ae48981f422cede4d5ca30','b.jpg','c57e2f427100d82ccd0c9b30e92f3591',1.79577665124552130699e+09,1.17130000035103876143e-04,'b.jpg-1',NULL,1,0,110,NULL,NULL);
INSERT INTO "attempts" VALUES(3,1,'7263760e30ae48981f422cede4d5ca30','large.jpg','c57e2f427100d82ccd0c9b30e92f3591',1.79577665124878621105e+09,8.22940000944072380661e-05,'large.jpg-1',NULL,1,0,110,NULL,NULL);
INSERT INTO "attempts" VALUES(4,1,'7263760e30ae48981f422cede4d5ca30','refused.jpg','c57e2f427100d82ccd0c9b30e92f3591',1.79577665125742888451e+09,1.39491000027192058041e-04,NULL,'1210',0,0,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(5,1,'7263760e30ae48981f422cede4d5ca30','later.jpg','c57e2f427100d82ccd0c9b30e92f3591',1.79577665125791907305e+09,8.68830002218601293861e-05,NULL,'1234',0,0,NULL,NULL,NULL);
CREATE TABLE features (          -- what pictures look like, where near duplicates by features were asked for
  id      INTEGER PRIMARY KEY,
  content TEXT NOT NULL UNIQUE,
  source  TEXT NOT NULL,         -- the first source with this content
  version INTEGER NOT NULL,      -- of how vectors are made; others cannot be compared
  first   INTEGER NOT NULL,      -- 1: like none before it; later ones are compared with it
  vector  BLOB NOT NULL          -- one signed byte a number
);
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
INSERT INTO "jobs" VALUES('7263760e30ae48981f422cede4d5ca30','m','What is it?','{"temperature": 0.5}',NULL,1,1,2);
CREATE TABLE looks (             -- perceptual hashes, where near duplicates were asked for
  content TEXT PRIMARY KEY,
  source  TEXT NOT NULL,         -- the first source with this content
  dhash   INTEGER NOT NULL,      -- 64 bits, as a signed number
  band0   INTEGER NOT NULL,      -- its four runs of 16 bits, the highest first
  band1   INTEGER NOT NULL,
  band2   INTEGER NOT NULL,
  band3   INTEGER NOT NULL
) WITHOUT ROWID;
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
INSERT INTO "results" VALUES(1,'broken.jpg','c57e2f427100d82ccd0c9b30e92f3591','7263760e30ae48981f422cede4d5ca30',1,1.79577665117554664611e+09,'f526795c95399cea27c055c842c3d6ab018ed0fa4f66f701c28ab22dec28237b','failed',NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,'{"error":"BadImageError","code":"corrupt","reason":"it is broken","cure":"Mend it.","retryable":false,"scope":"item","request_id":null}',0,NULL,NULL,1.43107999974745325744e-04);
INSERT INTO "results" VALUES(2,'p0.jpg','c57e2f427100d82ccd0c9b30e92f3591','7263760e30ae48981f422cede4d5ca30',1,1.79577665119314336776e+09,NULL,'skipped',NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,0,'left out',NULL,0.0);
INSERT INTO "results" VALUES(3,'p1.jpg','c57e2f427100d82ccd0c9b30e92f3591','7263760e30ae48981f422cede4d5ca30',1,1.79577665121664047237e+09,NULL,'skipped',NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,0,'left out',NULL,0.0);
INSERT INTO "results" VALUES(4,'a.jpg','c57e2f427100d82ccd0c9b30e92f3591','7263760e30ae48981f422cede4d5ca30',1,1.79577665124525690074e+09,'7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed','done','a picture of a.jpg',NULL,'m',0,100,10,0,0,NULL,NULL,NULL,NULL,NULL,'a.jpg-1',1,NULL,0,NULL,NULL,0.0711691029996473);
INSERT INTO "results" VALUES(5,'b.jpg','c57e2f427100d82ccd0c9b30e92f3591','7263760e30ae48981f422cede4d5ca30',1,1.79577665124552130699e+09,'3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3','done','a picture of b.jpg',NULL,'m',0,100,10,0,0,NULL,NULL,NULL,NULL,NULL,'b.jpg-1',1,NULL,0,NULL,NULL,7.03382950000559503678e-02);
INSERT INTO "results" VALUES(6,'large.jpg','c57e2f427100d82ccd0c9b30e92f3591','7263760e30ae48981f422cede4d5ca30',1,1.79577665124878621105e+09,'d35c416a85b807e9b5384915d6ebb4a9f7352713efd89857b45a242f473728a9','done','a picture of large.jpg',NULL,'m',0,100,10,0,0,NULL,NULL,NULL,NULL,NULL,'large.jpg-1',1,NULL,0,NULL,NULL,6.44375259998923866078e-02);
INSERT INTO "results" VALUES(7,'copy.jpg','c57e2f427100d82ccd0c9b30e92f3591','7263760e30ae48981f422cede4d5ca30',1,1.79577665125680518152e+09,'7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed','done','a picture of a.jpg',NULL,'m',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'a.jpg-1',0,NULL,0,NULL,'a.jpg',8.07509179999215120915e-02);
INSERT INTO "results" VALUES(8,'refused.jpg','c57e2f427100d82ccd0c9b30e92f3591','7263760e30ae48981f422cede4d5ca30',1,1.79577665125742888451e+09,'9390298f3fb0c5b160498935d79cb139aef28e1c47358b4bbba61862b9c26e59','failed',NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,'{"error":"RejectedRequestError","code":"1210","reason":"the form was refused","cure":"Look.","retryable":false,"scope":"item","request_id":null}',0,NULL,NULL,4.05384549999325827229e-02);
INSERT INTO "results" VALUES(9,'later.jpg','c57e2f427100d82ccd0c9b30e92f3591','7263760e30ae48981f422cede4d5ca30',1,1.79577665125791907305e+09,'1d9283d848ea941ace1fe0d2378ef8b70056a0d4d1648b95a322d90163e78285','failed',NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,'{"error":"ServerError","code":"1234","reason":"it failed","cure":"Later.","retryable":true,"scope":"item","request_id":null}',1,NULL,NULL,6.50803419998737808782e-02);
CREATE TABLE runs (              -- one row for each start of the program
  run      INTEGER PRIMARY KEY,
  job      TEXT NOT NULL,
  pid      INTEGER NOT NULL,
  started  REAL NOT NULL,
  ended    REAL,                 -- NULL: under way, or killed
  ending   TEXT                  -- complete, or what stopped it
);
INSERT INTO "runs" VALUES(1,'7263760e30ae48981f422cede4d5ca30',32169,1.79577665112098932261e+09,1.79577665126046848295e+09,'complete');
INSERT INTO "runs" VALUES(2,'7263760e30ae48981f422cede4d5ca30',32169,1.79577665130298042301e+09,NULL,NULL);
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
INSERT INTO "sent" VALUES('later.jpg','qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',2,1795776651.33244,100,'0.1','CNY');
CREATE TABLE sources (           -- every file that was ever read, so that it is not read again unchanged
  source      TEXT PRIMARY KEY,
  location    TEXT NOT NULL,
  size        INTEGER NOT NULL,  -- bytes
  modified_ns INTEGER NOT NULL,  -- nanoseconds since 1970
  content     TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "sources" VALUES('a.jpg','in/a.jpg',3,1795776651047720125,'7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed');
INSERT INTO "sources" VALUES('b.jpg','in/b.jpg',3,1795776651050741518,'3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3');
INSERT INTO "sources" VALUES('broken.jpg','in/broken.jpg',6,1795776651053285335,'f526795c95399cea27c055c842c3d6ab018ed0fa4f66f701c28ab22dec28237b');
INSERT INTO "sources" VALUES('copy.jpg','in/copy.jpg',3,1795776651052861840,'7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed');
INSERT INTO "sources" VALUES('large.jpg','in/large.jpg',5,1795776651054097569,'d35c416a85b807e9b5384915d6ebb4a9f7352713efd89857b45a242f473728a9');
INSERT INTO "sources" VALUES('later.jpg','in/later.jpg',5,1795776651054507788,'1d9283d848ea941ace1fe0d2378ef8b70056a0d4d1648b95a322d90163e78285');
INSERT INTO "sources" VALUES('refused.jpg','in/refused.jpg',2,1795776651053703790,'9390298f3fb0c5b160498935d79cb139aef28e1c47358b4bbba61862b9c26e59');
CREATE INDEX results_by_content ON results (content, question);
CREATE INDEX looks_band0 ON looks (band0);
CREATE INDEX looks_band1 ON looks (band1);
CREATE INDEX looks_band2 ON looks (band2);
CREATE INDEX looks_band3 ON looks (band3);
COMMIT;
