-- The whole schema of an embedded installation. Times are microseconds since the epoch, UTC.
-- AUTOINCREMENT: an id is never given twice, so readings of a deleted event cannot come back under a new one.

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'viewer')),
    session_version INTEGER NOT NULL DEFAULT 1,
    created_us INTEGER NOT NULL
) STRICT;

CREATE TABLE api_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_us INTEGER,
    last_used_us INTEGER,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX api_tokens_user ON api_tokens (user_id);

CREATE TABLE revoked_tokens (
    jti TEXT PRIMARY KEY,
    expires_us INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    min_value REAL NOT NULL,
    max_value REAL NOT NULL,
    unit TEXT NOT NULL,
    type TEXT NOT NULL,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX events_user ON events (user_id);

CREATE TABLE plugins (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    plugin_id TEXT NOT NULL,
    instance_name TEXT NOT NULL UNIQUE,
    demo_mode INTEGER NOT NULL DEFAULT 0,
    enabled INTEGER NOT NULL DEFAULT 1,
    status TEXT NOT NULL DEFAULT 'inactive',
    config_json TEXT,
    error_message TEXT,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER
) STRICT;
CREATE INDEX plugins_user ON plugins (user_id);

CREATE TABLE channels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    plugin_id INTEGER NOT NULL REFERENCES plugins (id) ON DELETE CASCADE,
    channel_id TEXT NOT NULL,
    channel_name TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('input', 'output', 'bidirectional')),
    unit TEXT NOT NULL,
    event_id INTEGER REFERENCES events (id) ON DELETE SET NULL,
    created_us INTEGER NOT NULL,
    UNIQUE (plugin_id, channel_id)
) STRICT;
CREATE INDEX channels_event ON channels (event_id);

CREATE TABLE experiments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    started_us INTEGER NOT NULL,
    stopped_us INTEGER,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL
) STRICT;
CREATE UNIQUE INDEX experiments_running ON experiments ((stopped_us IS NULL)) WHERE stopped_us IS NULL;
CREATE INDEX experiments_user ON experiments (user_id);

CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL,
    logging_type TEXT NOT NULL DEFAULT 'info',
    status_type TEXT NOT NULL DEFAULT 'unread',
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX logs_user ON logs (user_id);

-- The readings: no foreign keys, ids given by the server.
CREATE TABLE datapoints (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id INTEGER NOT NULL,
    time INTEGER NOT NULL,
    value REAL NOT NULL,
    experiment_id INTEGER
) STRICT;
CREATE INDEX datapoints_event_time ON datapoints (event_id, time);

-- The identity of each batch whose sender gave one, with the answer it got.
CREATE TABLE batches (
    user_id INTEGER NOT NULL,
    batch_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    invalid INTEGER NOT NULL,
    unlinked INTEGER NOT NULL,
    skewed INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    PRIMARY KEY (user_id, batch_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_time ON batches (time_us);

-- The last commit of each run of a server, which makes a repeated attempt harmless.
CREATE TABLE commits (
    run TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    committed_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What people query: time as ISO 8601 text with its offset.
CREATE VIEW readings AS
SELECT
    strftime('%Y-%m-%dT%H:%M:%S', d.time / 1000000, 'unixepoch') || printf('.%06d+00:00', d.time % 1000000) AS time,
    e.name AS event,
    e.public_id AS event_public_id,
    e.unit AS unit,
    d.value AS value,
    x.name AS experiment
FROM datapoints AS d
JOIN events AS e ON e.id = d.event_id
LEFT JOIN experiments AS x ON x.id = d.experiment_id;
