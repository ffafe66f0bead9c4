-- Who changed what, when, what it was before and what after. `was` and `becomes` are JSON. Triggers on the tables of the
-- configuration fill it (storage/triggers.py); a transaction says who it is by `webmacs.actor`.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time_us bigint NOT NULL,
    actor text NOT NULL,
    user_public_id text,
    token_name text,
    action text NOT NULL CHECK (action IN ('added', 'changed', 'removed', 'set')),
    kind text NOT NULL,
    public_id text NOT NULL,
    name text NOT NULL,
    was text,
    becomes text
);
CREATE INDEX audit_public_id ON audit (public_id, id);
CREATE INDEX audit_time ON audit USING brin (time_us);

CREATE FUNCTION webmacs_keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND nullif(current_setting('webmacs.actor', true), '')::json->>0 = 'unaudited' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log can only be added to';
END
$$;
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION webmacs_keep_audit();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION webmacs_keep_audit();
