"""What people write down at a moment of an experiment."""

from webmacs.storage.migrate import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the script of the dialect at hand."""
    run_script(__file__)
