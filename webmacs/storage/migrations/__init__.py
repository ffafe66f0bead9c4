"""The schema's history, for Alembic: one numbered script a step, its SQL beside it for each dialect."""
