-- The whole schema on PostgreSQL. Times of configuration are microseconds since the epoch, UTC; the time of a
-- reading is a timestamptz, as people query it. Identity columns: an id is never given twice.

CREATE TABLE users (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    email text NOT NULL UNIQUE,
    username text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    role text NOT NULL CHECK (role IN ('admin', 'operator', 'viewer')),
    session_version integer NOT NULL DEFAULT 1,
    created_us bigint NOT NULL
);

CREATE TABLE api_tokens (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    name text NOT NULL,
    digest text NOT NULL UNIQUE,
    user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_us bigint,
    last_used_us bigint,
    created_us bigint NOT NULL
);
CREATE INDEX api_tokens_user ON api_tokens (user_id);

CREATE TABLE revoked_tokens (
    jti text PRIMARY KEY,
    expires_us bigint NOT NULL
);

CREATE TABLE events (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    name text NOT NULL UNIQUE,
    min_value double precision NOT NULL,
    max_value double precision NOT NULL,
    unit text NOT NULL,
    type text NOT NULL,
    user_id integer REFERENCES users (id) ON DELETE SET NULL,
    created_us bigint NOT NULL
);
CREATE INDEX events_user ON events (user_id);

CREATE TABLE plugins (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    plugin_id text NOT NULL,
    instance_name text NOT NULL UNIQUE,
    demo_mode integer NOT NULL DEFAULT 0,
    enabled integer NOT NULL DEFAULT 1,
    status text NOT NULL DEFAULT 'inactive',
    config_json text,
    error_message text,
    user_id integer REFERENCES users (id) ON DELETE SET NULL,
    created_us bigint NOT NULL,
    updated_us bigint
);
CREATE INDEX plugins_user ON plugins (user_id);

CREATE TABLE channels (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    plugin_id integer NOT NULL REFERENCES plugins (id) ON DELETE CASCADE,
    channel_id text NOT NULL,
    channel_name text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('input', 'output', 'bidirectional')),
    unit text NOT NULL,
    event_id integer REFERENCES events (id) ON DELETE SET NULL,
    created_us bigint NOT NULL,
    UNIQUE (plugin_id, channel_id)
);
CREATE INDEX channels_event ON channels (event_id);

CREATE TABLE experiments (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    name text NOT NULL UNIQUE,
    started_us bigint NOT NULL,
    stopped_us bigint,
    user_id integer REFERENCES users (id) ON DELETE SET NULL
);
CREATE UNIQUE INDEX experiments_running ON experiments ((stopped_us IS NULL)) WHERE stopped_us IS NULL;
CREATE INDEX experiments_user ON experiments (user_id);

CREATE TABLE logs (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    content text NOT NULL,
    logging_type text NOT NULL DEFAULT 'info',
    status_type text NOT NULL DEFAULT 'unread',
    user_id integer REFERENCES users (id) ON DELETE SET NULL,
    created_us bigint NOT NULL
);
CREATE INDEX logs_user ON logs (user_id);

-- The readings: no foreign keys, ids given by the server from blocks of this sequence, partitions made by the server.
CREATE TABLE datapoints (
    id bigint NOT NULL,
    event_id integer NOT NULL,
    time timestamptz NOT NULL,
    value double precision NOT NULL,
    experiment_id integer
) PARTITION BY RANGE (time);
CREATE INDEX datapoints_event_time ON datapoints (event_id, time);
CREATE INDEX datapoints_time ON datapoints USING brin (time);
CREATE TABLE datapoints_default PARTITION OF datapoints DEFAULT;
CREATE SEQUENCE datapoint_blocks AS bigint;

-- The identity of each batch whose sender gave one, with the answer it got.
CREATE TABLE batches (
    user_id integer NOT NULL,
    batch_id text NOT NULL,
    digest text NOT NULL,
    accepted integer NOT NULL,
    invalid integer NOT NULL,
    unlinked integer NOT NULL,
    skewed integer NOT NULL,
    time_us bigint NOT NULL,
    PRIMARY KEY (user_id, batch_id)
);
CREATE INDEX batches_time ON batches USING brin (time_us);

-- The last commit of each run of a server. An attempt to commit claims its number first; one that comes late, after
-- the same or a later number has been stored, is undone whole.
CREATE TABLE commits (
    run text PRIMARY KEY,
    seq bigint NOT NULL,
    committed_us bigint NOT NULL
) WITH (fillfactor = 10);

CREATE FUNCTION webmacs_claim(this_run text, this_seq bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO commits (run, seq, committed_us) VALUES (this_run, this_seq, extract(epoch FROM now()) * 1000000)
        ON CONFLICT (run) DO UPDATE SET seq = this_seq, committed_us = excluded.committed_us
        WHERE commits.seq < this_seq;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'commit % of run % is stored already', this_seq, this_run USING ERRCODE = 'WM001';
    END IF;
END
$$;

-- What people query.
CREATE VIEW readings AS
SELECT
    d.time,
    e.name AS event,
    e.public_id AS event_public_id,
    e.unit,
    d.value,
    x.name AS experiment
FROM datapoints AS d
JOIN events AS e ON e.id = d.event_id
LEFT JOIN experiments AS x ON x.id = d.experiment_id;

-- Every server hears of a change of configuration, whoever made it. Bookkeeping columns are left out.
CREATE FUNCTION webmacs_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('webmacs_catalog', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_changed();
CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE OF name, digest, user_id, expires_us ON api_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_changed();
CREATE TRIGGER changed AFTER INSERT ON revoked_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_changed();
CREATE TRIGGER changed AFTER INSERT OR DELETE OR UPDATE OF enabled ON plugins
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON channels
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON experiments
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_changed();
