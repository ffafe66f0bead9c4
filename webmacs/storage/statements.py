"""The statements that every table of the configuration has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from webmacs.errors import NotFound
from webmacs.model import Scalar, Write
from webmacs.storage.base import Tables


def update(table: str, public_id: str, values: Mapping[str, Scalar]) -> Write:
    """Change some columns of the row with that public id; with none, nothing, which still finds out if it is there."""
    settings = ", ".join(f"{name} = :{name}" for name in values) or "public_id = public_id"
    return Write(f"UPDATE {table} SET {settings} WHERE public_id = :public_id", ({**values, "public_id": public_id},))


def change(table: str, public_id: str, was: Mapping[str, Scalar], now: Mapping[str, Scalar]) -> Write:
    """Change some columns of the row with that public id, if it is still there and they are still as they were.

    Else nothing of the transaction happens, and writing raises `Conflict`. What is in `now` alone is changed whatever
    it was; with both empty, the row has to be there. The column `event_id` is given as the public id of its event.
    """
    settings = ", ".join(f"{name} = {_value(name)}" for name in now) or "public_id = public_id"
    held = "".join(
        f" AND ({name} = {_value(name, 'was_')} OR ({name} IS NULL AND :was_{name} IS NULL))" for name in was
    )
    row = {"public_id": public_id, **now, **{f"was_{name}": value for name, value in was.items()}}
    return Write(f"UPDATE {table} SET {settings} WHERE public_id = :public_id{held}", (row,), changes=1)


def own(table: str, public_ids: Sequence[str], owner: str) -> Write:
    """Give rows to a user; all by public id."""
    return Write(
        f"UPDATE {table} SET user_id = (SELECT id FROM users WHERE public_id = :owner) WHERE public_id = :public_id",
        tuple({"public_id": public_id, "owner": owner} for public_id in public_ids),
    )


def delete(table: str, public_id: str) -> Write:
    """Remove the row with that public id."""
    return Write(f"DELETE FROM {table} WHERE public_id = :public_id", ({"public_id": public_id},))


async def on_one(storage: Tables, what: str, public_id: str, *writes: Write) -> None:
    """Write, the last statement to a single row. Raises `NotFound` when there is none; `what` is what to call it."""
    if not await storage.write(*writes):
        raise NotFound(f"there is no {what} {public_id}")


async def total(storage: Tables, table: str) -> int:
    """How many rows a table of the configuration has."""
    return int((await storage.fetch(f"SELECT count(*) FROM {table}"))[0][0])


def _value(column: str, prefix: str = "") -> str:
    """The placeholder of a column."""
    placeholder = f":{prefix}{column}"
    return f"(SELECT id FROM events WHERE public_id = {placeholder})" if column == "event_id" else placeholder
