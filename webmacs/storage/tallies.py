"""How deliveries stand, for those who look at them now and then. The statements, once for every backend."""

from __future__ import annotations

from dataclasses import dataclass

from webmacs.storage.base import Storage


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries of a webhook wait, how many were given up, and when one was delivered last."""

    pending: int = 0
    dead: int = 0
    delivered_us: int | None = None


async def tallies(storage: Storage) -> dict[int, Tally]:
    """How the deliveries of each webhook stand, by its id."""
    rows = await storage.fetch(
        "SELECT id, (SELECT count(*) FROM deliveries WHERE webhook_id = w.id AND status = 'pending'),"
        " (SELECT count(*) FROM deliveries WHERE webhook_id = w.id AND status = 'dead_letter'),"
        " (SELECT delivered_us FROM deliveries WHERE webhook_id = w.id AND status = 'delivered'"
        " ORDER BY id DESC LIMIT 1) FROM webhooks AS w"
    )
    return {webhook_id: Tally(*numbers) for webhook_id, *numbers in rows}


async def deliveries_like(storage: Storage, beginning: str, limit: int) -> list[tuple[str, int]]:
    """Deliveries whose id begins like that, in hexadecimal digits and hyphens: each its id and that of its webhook."""
    rows = await storage.fetch(
        # What an index finds, whatever the collation; then exactly.
        "SELECT public_id, webhook_id FROM deliveries"
        " WHERE public_id >= :low AND public_id < :high AND public_id LIKE :pattern LIMIT :limit",
        low=beginning,
        high=f"{beginning}g",
        pattern=f"{beginning}%",
        limit=limit,
    )
    return [(public_id, webhook_id) for public_id, webhook_id in rows]
