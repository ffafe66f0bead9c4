"""What a storage promises. Every backend runs the same conformance suite, `tests/storage/`."""

from __future__ import annotations

import abc
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from webmacs.catalog import Snapshot
from webmacs.config import StorageSettings
from webmacs.errors import Conflict, StorageError
from webmacs.model import Actor, BatchKey, BatchRecord, Datapoint, Reading, Scalar, Write
from webmacs.storage import migrate
from webmacs.storage.dialect import Dialect

Row = tuple[Any, ...]


class Part(NamedTuple):
    """Some readings of a commit, and what `Storage.prepare` has made of just these, if it has."""

    readings: Sequence[Reading]
    prepared: object | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """All that one transaction stores. The same object is given again when an attempt's end is unknown.

    `seq` is 1 for the first commit after `open` and rises by one with each; with the storage's own identity of this
    run it is what makes a repeated attempt harmless. `readings[i]` gets the id `first_id + i`; ids come from
    `reserve`. `batches` are identities that `recall` did not find. `prepared`, if given, are the same readings once
    more, in parts, with what was prepared of them; `parts` has them in any case.
    """

    seq: int
    first_id: int
    readings: Sequence[Reading]
    batches: Sequence[BatchRecord] = ()
    writes: Sequence[Write] = ()
    prepared: Sequence[Part] = ()

    @property
    def parts(self) -> Sequence[Part]:
        """All readings, in order."""
        return self.prepared or ([Part(self.readings)] if self.readings else ())


class Tables(abc.ABC):
    """What the configuration's own statements need: all that `webmacs.storage` has for a noun works on this."""

    @abc.abstractmethod
    async def write(self, *writes: Write) -> int:
        """Run statements in one transaction; the number of rows changed by the last one.

        Raises:
            Conflict: a unique key is taken, or a statement did not change as many rows as its `changes` says; nothing
                was changed.
            InvalidRows: a value is not possible; nothing was changed.

        """

    @abc.abstractmethod
    async def fetch(self, statement: str, **parameters: Scalar) -> list[Row]:
        """The rows of one query with `:name` placeholders."""


class Storage(Tables):
    """Readings and configuration, durable.

    One writer: `reserve`, `recall` and `append` are called by one task at a time; all else may run beside them.
    Every method raises `StorageUnavailable` when the storage cannot be reached, is full, locked or too slow; none
    waits longer than the configured timeouts. Driver errors never come out. Cancelling a call leaves the storage
    usable; a cancelled write may or may not have happened.
    """

    scheme: ClassVar[str]
    """The scheme of `storage.url` that chooses this backend."""

    dialect: ClassVar[Dialect]
    """What this backend's SQL says differently."""

    actor: Actor | None = None
    """Who writes here, unless a call says who: for the audit log. None: the server itself."""

    noted_us: int = 0
    """Up to when the minutes of readings that come late are noted, as far as this process knows; see `rollups.py`."""

    def __init__(self, settings: StorageSettings, url: str) -> None:
        """`url` is `settings.url`, relative paths resolved."""
        self.settings = settings
        self.url = url
        self.run = uuid.uuid4().hex  # the identity of this run among the `commits`

    # -- life --------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def open(self, *, serving: bool = False) -> None:
        """Connect and bring the schema up to date (if `settings.migrate`).

        `serving`: this process is the server; a second server on an embedded database is refused with `Conflict`.
        Raises `StorageError` when the schema is newer than this program or out of date with `migrate` off.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Finish what runs, let go of everything. Harmless when repeated or when `open` failed."""

    @abc.abstractmethod
    async def ping(self) -> None:
        """Answer, or raise: can it be reached now?"""

    @abc.abstractmethod
    async def revision(self) -> str | None:
        """The revision of the schema in the storage; None for a storage that has none yet."""

    @abc.abstractmethod
    async def migrate(self) -> None:
        """Bring the schema up to date; concurrent calls, also from other processes, do it once."""

    @abc.abstractmethod
    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed`, in the loop's thread and soon (under a second), after every change of configuration made
        elsewhere: another process, another connection. It may also be called when nothing changed, and is called
        after a lost connection is back. Call it once, after `open`.
        """

    # -- the hot path ------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def reserve(self, count: int) -> int:
        """The first of `count` consecutive ids that no reading has had or will get; they rise from call to call."""

    def prepare(self, readings: Sequence[Reading]) -> object | None:  # noqa: ARG002 - not all have something to do
        """Work for `append` that can be done before, while it stores what came earlier: it comes back in `Commit`.

        Called for the readings of each message, in the loop's thread. None: there is nothing to be won by it.
        """
        return None

    @abc.abstractmethod
    async def recall(self, keys: Collection[BatchKey]) -> Mapping[BatchKey, BatchRecord]:
        """The identities among `keys` that have been stored before."""

    @abc.abstractmethod
    async def append(self, commit: Commit) -> None:
        """Store a commit, all of it or nothing.

        When this returns, it is durable: flushed to disk, not only handed to the operating system, and visible to
        every other call. Given again after `StorageUnavailable`, the same commit is stored once in all, also when
        an earlier attempt had succeeded without our hearing of it, or succeeds later.

        Readings of event ids that do not exist are stored, but no query shows them. Times are kept to the microsecond,
        finite values to the last bit (but for the sign of zero). The minutes of readings that come late are noted with
        them; see `webmacs.storage.rollups`.

        Raises:
            InvalidRows: the rows themselves are at fault; nothing was stored.
            StorageUnavailable: it may or may not be stored; give the same commit again.

        """

    # -- readings ----------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def latest(self, snapshot: Snapshot) -> list[Datapoint]:
        """The newest datapoint of each event that has one: greatest time, then greatest id."""

    @abc.abstractmethod
    async def history(
        self, snapshot: Snapshot, event_id: int, *, after: tuple[int, int] = (-(2**62), 0), limit: int
    ) -> list[Datapoint]:
        """The datapoints of one event in order of (time_us, id), the first `limit` greater than `after`."""

    @abc.abstractmethod
    async def count(self) -> int:
        """How many datapoints there are; reads them all."""

    @abc.abstractmethod
    async def forget_event(self, event_id: int, limit: int) -> int:
        """Delete about `limit` readings of an event; how many they were. Call again until it says 0."""

    @abc.abstractmethod
    async def make_room(self, now_us: int) -> None:
        """Prepare for the readings that will come; called at start and now and then."""

    @abc.abstractmethod
    async def expire(self, before_us: int, limit: int) -> int:
        """Delete readings measured before that time, about `limit` if it has to be done one by one.

        How many they were, apart from those that went as a whole. Call again until it says 0. A storage that drops
        them as a whole may keep some for a while.
        """

    # -- configuration -----------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def write(self, *writes: Write, actor: Actor | None = None) -> int:
        """See `Tables`. What changes of the configuration, the audit log has as changed by `actor`."""

    def signed(self, actor: Actor) -> Tables:
        """The same tables, as somebody who changes them."""
        return _Signed(self, actor)

    @abc.abstractmethod
    async def derive(
        self,
        table: str,
        columns: str,
        query: str,
        parameters: Mapping[str, Scalar],
        *,
        before: Sequence[Write] = (),
        after: Sequence[Write] = (),
    ) -> None:
        """Store what a query finds as rows of a table, in one transaction with the statements before and after it.

        The query may have run before the transaction begins. A long one does not hold up `append`.

        Raises:
            Conflict: a unique key is taken; nothing was changed.

        """

    async def _out_of_date(self) -> bool:
        """Whether the schema lacks something. Raises when it is newer than this program."""
        found, needed = await self.revision(), migrate.head()
        if found is not None and found > needed:
            raise StorageError(f"the schema is at {found}, newer than this program knows ({needed}): upgrade webmacs")
        return found != needed

    async def _check_revision(self) -> None:
        """Raise unless the schema is exactly the one this program was written for."""
        if await self._out_of_date():
            found, needed = await self.revision() or "nothing", migrate.head()
            raise StorageError(f"the schema is at {found}, this program needs {needed}: run `webmacs migrate`")


class _Signed(Tables):
    def __init__(self, storage: Storage, actor: Actor) -> None:
        self._storage, self._actor = storage, actor

    async def write(self, *writes: Write) -> int:
        return await self._storage.write(*writes, actor=self._actor)

    async def fetch(self, statement: str, **parameters: Scalar) -> list[Row]:
        return await self._storage.fetch(statement, **parameters)


def check_changes(write: Write, changed: int) -> None:
    """Raise `Conflict` unless a statement has changed as many rows as it had to; for use inside the transaction."""
    if write.changes is not None and changed != write.changes:
        raise Conflict(f"a statement was to change {write.changes} rows, and changed {changed}")
