-- What fires when a value crosses a threshold. When it last did is kept apart, as that is no change of configuration.
CREATE TABLE rules (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    name text NOT NULL UNIQUE,
    event_id integer NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    operator text NOT NULL CHECK (operator IN ('gt', 'lt', 'eq', 'gte', 'lte', 'between', 'not_between')),
    threshold double precision NOT NULL,
    threshold_high double precision,
    action text NOT NULL CHECK (action IN ('webhook', 'log')),
    emits text,
    enabled integer NOT NULL DEFAULT 1,
    cooldown_s integer NOT NULL DEFAULT 60,
    user_id integer REFERENCES users (id) ON DELETE SET NULL,
    created_us bigint NOT NULL
);
CREATE INDEX rules_event ON rules (event_id);
CREATE INDEX rules_user ON rules (user_id);

CREATE TABLE rule_states (
    rule_id integer PRIMARY KEY,
    last_triggered_us bigint NOT NULL
) WITH (fillfactor = 50);

-- Who is told, and of what: `events` is a JSON list, each as the receiver spells it.
CREATE TABLE webhooks (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    url text NOT NULL UNIQUE,
    events text NOT NULL,
    enabled integer NOT NULL DEFAULT 1,
    secret text,
    old_secret text,
    old_secret_until_us bigint NOT NULL DEFAULT 0,
    user_id integer REFERENCES users (id) ON DELETE SET NULL,
    created_us bigint NOT NULL
);
CREATE INDEX webhooks_user ON webhooks (user_id);

-- The outbox. No foreign key: a row must not keep the reading that caused it from being stored.
CREATE TABLE deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    webhook_id integer NOT NULL,
    event_type text NOT NULL,
    payload text NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed', 'dead_letter')),
    attempts integer NOT NULL DEFAULT 0,
    due_us bigint NOT NULL,
    last_error text,
    response_code integer,
    created_us bigint NOT NULL,
    delivered_us bigint
);
CREATE INDEX deliveries_webhook ON deliveries (webhook_id, id);
CREATE INDEX deliveries_pending ON deliveries (webhook_id, due_us, id) WHERE status = 'pending';
CREATE INDEX deliveries_dead ON deliveries (webhook_id, id) WHERE status = 'dead_letter';
CREATE INDEX deliveries_done ON deliveries (created_us) WHERE status <> 'pending';

-- For the same reason: an entry of a rule whose owner is deleted at that moment.
ALTER TABLE logs DROP CONSTRAINT logs_user_id_fkey;

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON rules
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON webhooks
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_changed();
