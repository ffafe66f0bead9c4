-- What an API token is good for; bound to a plugin instance, it sends the readings of that one alone.
ALTER TABLE api_tokens ADD COLUMN scope TEXT NOT NULL DEFAULT 'full' CHECK (scope IN ('ingest', 'read', 'full'));
ALTER TABLE api_tokens ADD COLUMN plugin_id INTEGER REFERENCES plugins (id) ON DELETE CASCADE;
CREATE INDEX api_tokens_plugin ON api_tokens (plugin_id);

-- What people put on their screens. Nothing of it is in the catalog.
CREATE TABLE dashboards (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    is_global INTEGER NOT NULL DEFAULT 0,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX dashboards_user ON dashboards (user_id);

CREATE TABLE widgets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    dashboard_id INTEGER NOT NULL REFERENCES dashboards (id) ON DELETE CASCADE,
    widget_type TEXT NOT NULL,
    title TEXT NOT NULL,
    event_id INTEGER REFERENCES events (id) ON DELETE SET NULL,
    x INTEGER NOT NULL,
    y INTEGER NOT NULL,
    w INTEGER NOT NULL,
    h INTEGER NOT NULL,
    config_json TEXT,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX widgets_dashboard ON widgets (dashboard_id);
CREATE INDEX widgets_event ON widgets (event_id);

-- The readings of an event in one minute: how many, the smallest, the largest, each with its own time and id. True for
-- each minute before `rolled_until_us`, but for those that `rollup_gaps` names, of which readings came late or went.
-- Who stores or deletes a reading of a minute before `noted_until_us` names it there, in the same transaction.
CREATE TABLE rollups (
    event_id INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    count INTEGER NOT NULL,
    min_value REAL NOT NULL,
    min_us INTEGER NOT NULL,
    min_id INTEGER NOT NULL,
    min_experiment INTEGER,
    max_value REAL NOT NULL,
    max_us INTEGER NOT NULL,
    max_id INTEGER NOT NULL,
    max_experiment INTEGER,
    PRIMARY KEY (event_id, start_us)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_start ON rollups (start_us, count);

CREATE TABLE rollup_gaps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id INTEGER NOT NULL,
    start_us INTEGER NOT NULL
) STRICT;
CREATE INDEX rollup_gaps_event ON rollup_gaps (event_id, start_us);

CREATE TABLE rollup_state (rolled_until_us INTEGER NOT NULL, noted_until_us INTEGER NOT NULL) STRICT;
INSERT INTO rollup_state VALUES (0, 0);
