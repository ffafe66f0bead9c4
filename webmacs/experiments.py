"""Starting and stopping experiments: the interval, the entry in the log and the word to webhooks, all in one."""

from __future__ import annotations

import uuid

from webmacs.model import Scalar, WebhookEvent
from webmacs.storage import records
from webmacs.storage.base import Tables
from webmacs.storage.deliveries import deliver, deliver_if
from webmacs.storage.logbook import LogEntry, log_entries, log_if
from webmacs.storage.webhooks import webhooks
from webmacs.webhooks.message import announce


async def start(storage: Tables, *, name: str, now_us: int, user_id: int | None = None) -> str:
    """Start an experiment; returns its public id. Raises `Conflict` when the name is taken or another one runs."""
    public_id = str(uuid.uuid4())
    told = announce(
        WebhookEvent.EXPERIMENT_STARTED, await webhooks(storage), time_us=now_us, now_us=now_us, experiment=name
    )
    await storage.write(
        records.start_experiment(public_id, name, now_us=now_us, user_id=user_id),
        log_entries([LogEntry(f"experiment {name!r} started", now_us, user_id)]),
        deliver(told),
    )
    return public_id


async def stop(storage: Tables, public_id: str, *, now_us: int, user_id: int | None = None) -> None:
    """Stop an experiment. One that is stopped already stays as it is, and nobody is told. Raises `NotFound`."""
    experiment = await records.experiment(storage, public_id)
    if experiment.stopped_us is not None:
        return
    name = experiment.name
    told = announce(
        WebhookEvent.EXPERIMENT_STOPPED, await webhooks(storage), time_us=now_us, now_us=now_us, experiment=name
    )
    ours: dict[str, Scalar] = {"experiment": public_id, "stopped_us": now_us}
    await storage.write(
        records.stop_experiment(public_id, now_us=now_us),
        log_if(records.STOPPED_THEN, LogEntry(f"experiment {name!r} stopped", now_us, user_id), **ours),
        deliver_if(records.STOPPED_THEN, told, **ours),
    )
