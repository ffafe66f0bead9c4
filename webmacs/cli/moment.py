"""Times on a command line."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from webmacs.model import to_us


class Moment(click.ParamType[int]):
    """ISO 8601, UTC unless it says otherwise; becomes microseconds since the epoch."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`."""
        if isinstance(value, int):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
            return to_us(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time like 2026-11-22 or 2026-11-22T18:30:00Z", param, ctx)
