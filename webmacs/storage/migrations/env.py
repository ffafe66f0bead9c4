"""Alembic's entry: run what is missing on the connection that `webmacs.storage.migrate` opened and locked."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
