-- Who changed what, when, what it was before and what after. `was` and `becomes` are JSON. Triggers on the tables of the
-- configuration fill it (storage/triggers.py); what a transaction says of who it is stands in `acting` until its end.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    user_public_id TEXT,
    token_name TEXT,
    action TEXT NOT NULL CHECK (action IN ('added', 'changed', 'removed', 'set')),
    kind TEXT NOT NULL,
    public_id TEXT NOT NULL,
    name TEXT NOT NULL,
    was TEXT,
    becomes TEXT
) STRICT;
CREATE INDEX audit_public_id ON audit (public_id, id);
CREATE INDEX audit_time ON audit (time_us);

CREATE TABLE acting (name TEXT NOT NULL, user_public_id TEXT, token_name TEXT) STRICT;

CREATE TRIGGER audit_stays_as_it_is BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log can only be added to');
END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit WHEN NOT EXISTS (SELECT 1 FROM acting WHERE name = 'unaudited')
BEGIN
    SELECT RAISE(ABORT, 'the audit log can only be added to');
END;
-- A REPLACE would delete without the trigger above being asked.
CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'the audit log can only be added to');
END;
