"""The statements that every table of the configuration has in common."""

from __future__ import annotations

from collections.abc import Mapping

from webmacs.errors import NotFound
from webmacs.model import Scalar, Write
from webmacs.storage.base import Storage


def update(table: str, public_id: str, values: Mapping[str, Scalar]) -> Write:
    """Change some columns of the row with that public id; with none, nothing, which still finds out if it is there."""
    settings = ", ".join(f"{name} = :{name}" for name in values) or "public_id = public_id"
    return Write(f"UPDATE {table} SET {settings} WHERE public_id = :public_id", ({**values, "public_id": public_id},))


def delete(table: str, public_id: str) -> Write:
    """Remove the row with that public id."""
    return Write(f"DELETE FROM {table} WHERE public_id = :public_id", ({"public_id": public_id},))


async def on_one(storage: Storage, what: str, public_id: str, *writes: Write) -> None:
    """Write, the last statement to a single row. Raises `NotFound` when there is none; `what` is what to call it."""
    if not await storage.write(*writes):
        raise NotFound(f"there is no {what} {public_id}")


async def total(storage: Storage, table: str) -> int:
    """How many rows a table of the configuration has."""
    return int((await storage.fetch(f"SELECT count(*) FROM {table}"))[0][0])
