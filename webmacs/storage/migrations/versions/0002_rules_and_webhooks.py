"""Rules, webhooks and the deliveries that wait."""

from webmacs.storage.migrate import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the script of the dialect at hand."""
    run_script(__file__)
