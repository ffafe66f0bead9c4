-- What an API token is good for; bound to a plugin instance, it sends the readings of that one alone.
ALTER TABLE api_tokens ADD COLUMN scope text NOT NULL DEFAULT 'full' CHECK (scope IN ('ingest', 'read', 'full'));
ALTER TABLE api_tokens ADD COLUMN plugin_id integer REFERENCES plugins (id) ON DELETE CASCADE;
CREATE INDEX api_tokens_plugin ON api_tokens (plugin_id);

-- The whole row of a plugin instance is in the catalog now.
DROP TRIGGER changed ON plugins;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON plugins
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_changed();

-- What people put on their screens. Nothing of it is in the catalog.
CREATE TABLE dashboards (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    name text NOT NULL,
    is_global integer NOT NULL DEFAULT 0,
    user_id integer REFERENCES users (id) ON DELETE SET NULL,
    created_us bigint NOT NULL
);
CREATE INDEX dashboards_user ON dashboards (user_id);

CREATE TABLE widgets (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    dashboard_id integer NOT NULL REFERENCES dashboards (id) ON DELETE CASCADE,
    widget_type text NOT NULL,
    title text NOT NULL,
    event_id integer REFERENCES events (id) ON DELETE SET NULL,
    x integer NOT NULL,
    y integer NOT NULL,
    w integer NOT NULL,
    h integer NOT NULL,
    config_json text,
    created_us bigint NOT NULL
);
CREATE INDEX widgets_dashboard ON widgets (dashboard_id);
CREATE INDEX widgets_event ON widgets (event_id);

-- The readings of an event in one minute: how many, the smallest, the largest, each with its own time and id. True for
-- each minute before `rolled_until_us`, but for those that `rollup_gaps` names, of which readings came late or went.
-- Who stores or deletes a reading of a minute before `noted_until_us` names it there, in the same transaction.
CREATE TABLE rollups (
    event_id integer NOT NULL,
    start_us bigint NOT NULL,
    count integer NOT NULL,
    min_value double precision NOT NULL,
    min_us bigint NOT NULL,
    min_id bigint NOT NULL,
    min_experiment integer,
    max_value double precision NOT NULL,
    max_us bigint NOT NULL,
    max_id bigint NOT NULL,
    max_experiment integer,
    -- All of it: a row of an event lies beside those of other events, an entry of this index beside those of its own.
    PRIMARY KEY (event_id, start_us) INCLUDE (
        count, min_value, min_us, min_id, min_experiment, max_value, max_us, max_id, max_experiment
    )
);
CREATE INDEX rollups_start ON rollups (start_us) INCLUDE (count);

CREATE TABLE rollup_gaps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id integer NOT NULL,
    start_us bigint NOT NULL
);
CREATE INDEX rollup_gaps_event ON rollup_gaps (event_id, start_us);

CREATE TABLE rollup_state (rolled_until_us bigint NOT NULL, noted_until_us bigint NOT NULL);
INSERT INTO rollup_state VALUES (0, 0);
