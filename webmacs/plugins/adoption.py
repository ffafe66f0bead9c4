"""Ids that arrive and are linked to nothing: each becomes an event with exactly that id, and a channel linked to it."""

from __future__ import annotations

import uuid
from typing import Final

from webmacs.model import Write
from webmacs.plugins.base import ADOPTED
from webmacs.storage import plugins
from webmacs.storage.base import Tables

INSTANCE_NAME: Final = "Adopted readings"
"""The plugin instance that they belong to, unless another one is named."""


async def adopt(
    storage: Tables,
    event: str,
    *,
    name: str,
    unit: str,
    now_us: int,
    new: Write | None = None,
    instance_name: str = INSTANCE_NAME,
    user_id: int | None = None,
) -> None:
    """Link an event, by public id, to an instance that is switched on, all or nothing: from the next reading on, what
    arrives under that id is stored. `new` makes the event, if there is none. The instance that is meant for it is made
    when it is not there; many may do so at once.

    The channel is called after the event's id, so that it is found again when its link was taken away.

    Raises `Conflict` when the event's name or its id is taken, the instance is not there or switched off, or its
    channel of that id is linked to something else.
    """
    writes = [] if new is None else [new]
    if instance_name == INSTANCE_NAME:
        writes.append(
            plugins.make_plugin(
                str(uuid.uuid4()),
                plugin_id=ADOPTED,
                instance_name=INSTANCE_NAME,
                now_us=now_us,
                user_id=user_id,
                unless_taken=True,
            )
        )
    link = plugins.claim_channel(
        str(uuid.uuid4()),
        instance_name=instance_name,
        channel_id=event,
        channel_name=name,
        unit=unit,
        event=event,
        now_us=now_us,
    )
    await storage.write(*writes, link)
