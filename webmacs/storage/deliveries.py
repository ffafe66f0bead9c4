"""The outbox: deliveries that wait, and what became of them. The statements, once for every backend."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from webmacs.errors import NotFound
from webmacs.model import Delivery, DeliveryStatus, NewDelivery, Scalar, Write
from webmacs.storage.base import Row, Storage, Tables
from webmacs.storage.webhooks import forget_deliveries

_log = logging.getLogger(__name__)

CHUNK: Final = 5_000
TOO_MANY: Final = "Too many deliveries waited for this receiver"
_DELIVERY: Final = (
    "id, public_id, webhook_id, event_type, payload, status, attempts, due_us, last_error, response_code, created_us,"
    " delivered_us"
)
_COLUMNS: Final = "public_id, webhook_id, event_type, payload, due_us, created_us"
_ANEW: Final = (
    "status = 'pending', attempts = 0, due_us = :now_us, last_error = NULL, response_code = NULL, delivered_us = NULL"
)
_VALUES: Final = ":public_id, :webhook_id, :event_type, :payload, :created_us, :created_us"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt has changed. `due_us`: when the next one is due, of a delivery that still waits."""

    delivery: Delivery
    status: DeliveryStatus
    error: str | None
    response_code: int | None
    due_us: int
    time_us: int


def deliver(deliveries: Iterable[NewDelivery]) -> Write:
    """Ask for deliveries, in the transaction of what causes them."""
    return Write(f"INSERT INTO deliveries ({_COLUMNS}) VALUES ({_VALUES})", tuple(map(_row, deliveries)), bulk=True)


def deliver_if(condition: str, deliveries: Iterable[NewDelivery], **parameters: Scalar) -> Write:
    """The same, if a condition in SQL holds by then, which may use `parameters`."""
    statement = f"INSERT INTO deliveries ({_COLUMNS}) SELECT {_VALUES} WHERE {condition}"
    return Write(statement, tuple({**_row(delivery), **parameters} for delivery in deliveries))


async def deliver_now(storage: Tables, delivery: NewDelivery) -> bool:
    """Ask for one delivery. False: its webhook is switched off, or gone, and nothing is asked for."""
    there = "EXISTS (SELECT 1 FROM webhooks WHERE id = :webhook_id AND enabled = 1)"
    return await storage.write(deliver_if(there, [delivery])) > 0


class Agenda(NamedTuple):
    """What waits for a webhook: how many deliveries may be attempted now, and when the next one after them may be."""

    due: int
    next_us: int | None


async def agendas(storage: Storage, now_us: int, most: int) -> dict[int, Agenda]:
    """By the id of each webhook that is switched on, what waits for it; `due` is counted up to `most`."""
    rows = await storage.fetch(
        "SELECT w.id, (SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE webhook_id = w.id AND status = 'pending'"
        " AND due_us <= :now_us LIMIT :most) AS waiting), (SELECT min(due_us) FROM deliveries WHERE webhook_id = w.id"
        " AND status = 'pending' AND due_us > :now_us) FROM webhooks AS w WHERE w.enabled = 1",
        now_us=now_us,
        most=most,
    )
    return {webhook_id: Agenda(number, next_us) for webhook_id, number, next_us in rows}


async def due(storage: Storage, webhook_id: int, now_us: int, limit: int) -> list[Delivery]:
    """What waits for a webhook and may be attempted now, first what has been due for longest.

    Nothing, if the webhook is switched off or gone, whatever the catalog knows of that yet.
    """
    rows = await storage.fetch(
        f"SELECT {_DELIVERY} FROM deliveries WHERE webhook_id = :webhook_id AND status = 'pending'"
        " AND due_us <= :now_us AND EXISTS (SELECT 1 FROM webhooks WHERE id = :webhook_id AND enabled = 1)"
        " ORDER BY due_us, id LIMIT :limit",
        webhook_id=webhook_id,
        now_us=now_us,
        limit=limit,
    )
    return [_delivery(row) for row in rows]


def attempted(outcomes: Sequence[Outcome]) -> Write:
    """Keep what attempts have come to; harmless when repeated.

    A delivery that was asked for again during its last attempt begins from the beginning, whatever came of that.
    """
    return Write(
        "UPDATE deliveries SET status = :status, attempts = attempts + 1, last_error = :error,"
        " response_code = :response_code, due_us = :due_us, delivered_us = :delivered_us"
        " WHERE id = :id AND status = 'pending' AND attempts = :attempts",
        tuple(
            {
                "id": outcome.delivery.id,
                "attempts": outcome.delivery.attempts,
                "status": outcome.status.value,
                "error": outcome.error,
                "response_code": outcome.response_code,
                "due_us": outcome.due_us,
                "delivered_us": outcome.time_us if outcome.status is DeliveryStatus.DELIVERED else None,
            }
            for outcome in outcomes
        ),
    )


async def deliveries(
    storage: Storage, webhook_id: int, *, status: DeliveryStatus | None = None, limit: int, offset: int = 0
) -> list[Delivery]:
    """Deliveries of a webhook, the newest first."""
    only = "" if status is None else " AND status = :status"
    parameters: Mapping[str, Scalar] = {} if status is None else {"status": status.value}
    rows = await storage.fetch(
        f"SELECT {_DELIVERY} FROM deliveries WHERE webhook_id = :webhook_id{only} ORDER BY id DESC"
        " LIMIT :limit OFFSET :offset",
        webhook_id=webhook_id,
        limit=limit,
        offset=offset,
        **parameters,
    )
    return [_delivery(row) for row in rows]


async def count(storage: Storage, webhook_id: int, status: DeliveryStatus | None = None) -> int:
    """How many deliveries of a webhook there are, of that status or of any."""
    only = "" if status is None else " AND status = :status"
    parameters: Mapping[str, Scalar] = {} if status is None else {"status": status.value}
    statement = f"SELECT count(*) FROM deliveries WHERE webhook_id = :webhook_id{only}"
    return int((await storage.fetch(statement, webhook_id=webhook_id, **parameters))[0][0])


async def redeliver(storage: Tables, public_id: str, now_us: int, webhook_id: int | None = None) -> None:
    """Attempt a delivery again from the beginning, under the same id, whatever became of it. Raises `NotFound`, also
    for one that is not of that webhook, if one is given.
    """
    of = "" if webhook_id is None else " AND webhook_id = :webhook_id"
    row: dict[str, Scalar] = {"public_id": public_id, "now_us": now_us, "webhook_id": webhook_id}
    changed = await storage.write(Write(f"UPDATE deliveries SET {_ANEW} WHERE public_id = :public_id{of}", (row,)))
    if not changed:
        raise NotFound(f"there is no delivery {public_id}")


async def redeliver_dead(storage: Storage, webhook_id: int, now_us: int) -> int:
    """The same for all dead letters of a webhook, in chunks, the oldest first; how many they were."""
    changed = last = 0
    while rows := await storage.fetch(
        "SELECT id FROM deliveries WHERE webhook_id = :webhook_id AND status = 'dead_letter' AND id > :last"
        " ORDER BY id LIMIT :limit",
        webhook_id=webhook_id,
        last=last,
        limit=CHUNK,
    ):
        first, last = last, rows[-1][0]  # onwards, so that one that fails at once does not hold this up
        changed += await storage.write(
            Write(
                f"UPDATE deliveries SET {_ANEW}"
                " WHERE webhook_id = :webhook_id AND status = 'dead_letter' AND id > :first AND id <= :last",
                ({"webhook_id": webhook_id, "now_us": now_us, "first": first, "last": last},),
            )
        )
    return changed


async def prune(storage: Storage, *, max_pending: int, before_us: int | None) -> None:
    """Keep the outbox in bounds: away with what was asked for before that time and is done with, and with what belongs
    to nobody; of more than `max_pending` deliveries that wait for one receiver, the oldest become dead letters.

    In small transactions, so that ingestion never waits for long. Raises `StorageUnavailable`; what is left is done
    the next time.
    """
    if before_us is not None:
        done = Write(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries"
            " WHERE status <> 'pending' AND created_us < :before_us ORDER BY created_us LIMIT :limit)",
            ({"before_us": before_us, "limit": CHUNK},),
        )
        while await storage.write(done):
            continue
    receivers = await storage.fetch(_RECEIVERS)  # first: a webhook that is added just now is not one that is gone
    known: dict[int, str] = dict(await storage.fetch("SELECT id, public_id FROM webhooks"))
    for (webhook_id,) in receivers:
        if webhook_id not in known:
            while await storage.write(forget_deliveries(webhook_id)):
                continue
            continue
        given_up = 0
        while changed := await storage.write(_too_many(webhook_id, max_pending)):
            given_up += changed
        if given_up:
            _log.warning("webhook %s: %d deliveries more than may wait are dead letters", known[webhook_id], given_up)
    await storage.write(Write("DELETE FROM rule_states WHERE rule_id NOT IN (SELECT id FROM rules)"))


# The webhooks that have deliveries: by steps from one id to the next, as an index can.
_RECEIVERS: Final = """
WITH RECURSIVE ids (id) AS (
    SELECT min(webhook_id) FROM deliveries
    UNION ALL
    SELECT (SELECT min(webhook_id) FROM deliveries WHERE webhook_id > ids.id) FROM ids WHERE ids.id IS NOT NULL
)
SELECT id FROM ids WHERE id IS NOT NULL
"""


def _too_many(webhook_id: int, max_pending: int) -> Write:
    return Write(
        "UPDATE deliveries SET status = 'dead_letter', last_error = :error WHERE id IN"
        " (SELECT id FROM deliveries WHERE webhook_id = :webhook_id AND status = 'pending'"
        " ORDER BY id DESC LIMIT :limit OFFSET :most)",
        ({"webhook_id": webhook_id, "most": max_pending, "limit": CHUNK, "error": TOO_MANY},),
    )


def _row(delivery: NewDelivery) -> dict[str, Scalar]:
    return {
        "public_id": delivery.public_id,
        "webhook_id": delivery.webhook_id,
        "event_type": delivery.event_type,
        "payload": delivery.payload,
        "created_us": delivery.created_us,
    }


def _delivery(row: Row) -> Delivery:
    number, public_id, webhook_id, event_type, payload, status, *rest = row
    return Delivery(number, public_id, webhook_id, event_type, payload, DeliveryStatus(status), *rest)
