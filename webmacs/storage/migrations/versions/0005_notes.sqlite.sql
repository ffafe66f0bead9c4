-- What somebody wrote down at a moment of an experiment. Nothing of it is in the catalog.
CREATE TABLE notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    experiment_id INTEGER NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX notes_experiment ON notes (experiment_id, time_us, id);
CREATE INDEX notes_user ON notes (user_id);
