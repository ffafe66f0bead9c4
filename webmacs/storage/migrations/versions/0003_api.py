"""Dashboards, scopes of API tokens, and rollups of the readings."""

from webmacs.storage.migrate import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the script of the dialect at hand."""
    run_script(__file__)
