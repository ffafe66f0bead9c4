"""Alembic's entry: run what is missing on the connection that `webmacs.storage.migrate` opened and locked."""

from alembic import context

# That connection is in a transaction already, on SQLite too, and whoever opened it commits.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
