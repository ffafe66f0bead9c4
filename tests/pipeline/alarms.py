"""What a recorder adds to a transaction, taken apart: deliveries, entries of the log, times at which rules fired."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from webmacs.model import Scalar
from webmacs.pipeline.base import Contribution


def rows(contribution: Contribution, table: str) -> list[Mapping[str, Scalar]]:
    head = f"INSERT INTO {table} "
    return [row for write in contribution.writes if write.statement.startswith(head) for row in write.rows]


def calls(contribution: Contribution) -> list[dict[str, Any]]:
    """The payloads of the deliveries, in order."""
    return [json.loads(str(row["payload"])) for row in rows(contribution, "deliveries")]


def receivers(contribution: Contribution) -> list[Scalar]:
    """Whom the deliveries are for, by the surrogate id of the webhook, in order."""
    return [row["webhook_id"] for row in rows(contribution, "deliveries")]


def entries(contribution: Contribution) -> list[Scalar]:
    """What is written to the log."""
    return [row["content"] for row in rows(contribution, "logs")]


def fired(contribution: Contribution) -> dict[Scalar, Scalar]:
    """When rules fired last, by their surrogate id."""
    return {row["rule_id"]: row["time_us"] for row in rows(contribution, "rule_states")}
