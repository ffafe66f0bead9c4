"""The initial schema."""

from webmacs.storage.migrate import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the script of the dialect at hand."""
    run_script(__file__)
