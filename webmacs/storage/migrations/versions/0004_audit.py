"""The audit log, which can only be added to."""

from webmacs.storage.migrate import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the script of the dialect at hand."""
    run_script(__file__)
