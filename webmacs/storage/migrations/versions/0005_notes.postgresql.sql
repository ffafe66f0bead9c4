-- What somebody wrote down at a moment of an experiment. Nothing of it is in the catalog.
CREATE TABLE notes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    experiment_id integer NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    text text NOT NULL,
    time_us bigint NOT NULL,
    user_id integer REFERENCES users (id) ON DELETE SET NULL,
    created_us bigint NOT NULL
);
CREATE INDEX notes_experiment ON notes (experiment_id, time_us, id);
CREATE INDEX notes_user ON notes (user_id);
