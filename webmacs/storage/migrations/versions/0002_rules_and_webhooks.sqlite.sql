-- What fires when a value crosses a threshold. When it last did is kept apart, as that is no change of configuration.
CREATE TABLE rules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    event_id INTEGER NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    operator TEXT NOT NULL CHECK (operator IN ('gt', 'lt', 'eq', 'gte', 'lte', 'between', 'not_between')),
    threshold REAL NOT NULL,
    threshold_high REAL,
    action TEXT NOT NULL CHECK (action IN ('webhook', 'log')),
    emits TEXT,
    enabled INTEGER NOT NULL DEFAULT 1,
    cooldown_s INTEGER NOT NULL DEFAULT 60,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX rules_event ON rules (event_id);
CREATE INDEX rules_user ON rules (user_id);

CREATE TABLE rule_states (
    rule_id INTEGER PRIMARY KEY,
    last_triggered_us INTEGER NOT NULL
) STRICT;

-- Who is told, and of what: `events` is a JSON list, each as the receiver spells it.
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL UNIQUE,
    events TEXT NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1,
    secret TEXT,
    old_secret TEXT,
    old_secret_until_us INTEGER NOT NULL DEFAULT 0,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_user ON webhooks (user_id);

-- The outbox. No foreign key: a row must not keep the reading that caused it from being stored.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    webhook_id INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    payload TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed', 'dead_letter')),
    attempts INTEGER NOT NULL DEFAULT 0,
    due_us INTEGER NOT NULL,
    last_error TEXT,
    response_code INTEGER,
    created_us INTEGER NOT NULL,
    delivered_us INTEGER
) STRICT;
CREATE INDEX deliveries_webhook ON deliveries (webhook_id, id);
CREATE INDEX deliveries_pending ON deliveries (webhook_id, due_us, id) WHERE status = 'pending';
CREATE INDEX deliveries_dead ON deliveries (webhook_id, id) WHERE status = 'dead_letter';
CREATE INDEX deliveries_done ON deliveries (created_us) WHERE status <> 'pending';

-- The log without its foreign key, for the same reason: an entry of a rule whose owner is deleted at that moment.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL,
    logging_type TEXT NOT NULL DEFAULT 'info',
    status_type TEXT NOT NULL DEFAULT 'unread',
    user_id INTEGER,
    created_us INTEGER NOT NULL
) STRICT;
INSERT INTO entries SELECT id, public_id, content, logging_type, status_type, user_id, created_us FROM logs;
DROP TABLE logs;
ALTER TABLE entries RENAME TO logs;
CREATE INDEX logs_user ON logs (user_id);
