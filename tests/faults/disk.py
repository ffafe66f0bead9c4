"""When a value was on the disk for good: its transaction's end had been written, and a flush after that had returned.

Both storages write a log first, which is read here as it came: what was written to it, and when it was flushed.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults.trace import NEVER, Call

Flushed = Callable[[float], int]
"""Of a value: the place in the trace at which it was on the disk for good; `NEVER` when it was not."""

FRAME_HEADER: Final = 24
PAGE: Final = 8192
SEGMENT: Final = re.compile(r"/pg_wal/[0-9A-F]{24}$")
RECORD_HEADER: Final = 24
TRANSACTIONS: Final = 1  # the resource manager of their ends
COMMIT: Final = 0x00
KIND: Final = 0x70


def on_sqlite(calls: Sequence[Call]) -> Flushed:
    """The log is FILE-wal: frames of a header and a page each; the last of a transaction says so in its header.

    https://sqlite.org/fileformat2.html, section 4.1
    """
    log = [call for call in calls if call.file.endswith("-wal")]
    writes = [call for call in log if call.name == "pwrite64"]
    ends = [
        at + 1
        for at, call in enumerate(writes[:-1])
        if len(call.data) == FRAME_HEADER and struct.unpack_from(">I", call.data, 4)[0]
    ]

    def flushed(value: float) -> int:
        wanted = struct.pack(">d", value)
        written = next((at for at, call in enumerate(writes) if wanted in call.data), None)
        if written is None or (end := bisect_right(ends, written - 1)) == len(ends):
            return NEVER
        return _flush_after(writes[ends[end]], log)

    return flushed


def on_postgresql(calls: Sequence[Call]) -> Flushed:
    """The log is a sequence of records in pages, of which the last one is written again as it fills.

    https://www.postgresql.org/docs/15/wal-internals.html, and src/include/access/xlogrecord.h, xlog_internal.h
    """
    log = [call for call in calls if SEGMENT.search(call.file)]
    writes = [call for call in log if call.name == "pwrite64"]
    records = _records(_pages(writes))
    commits = {record.transaction: record for record in records if record.commits}

    def flushed(value: float) -> int:
        wanted = struct.pack("<d", value)
        transaction = next((record.transaction for record in records if wanted in record.contents), None)
        commit = commits.get(transaction) if transaction is not None else None
        if commit is None:
            return NEVER
        return _flush_after(next(call for call in writes if _holds(call, commit)), log)

    return flushed


@dataclass(frozen=True, slots=True)
class Record:
    """Of PostgreSQL's log; `page` is what the page in which it ends holds up to there."""

    transaction: int
    commits: bool
    contents: bytes
    address: int
    page: bytes


def _flush_after(written: Call, log: Sequence[Call]) -> int:
    flushes = (call for call in log if call.flushes and call.file == written.file and call.began > written.ended)
    return min((call.ended for call in flushes), default=NEVER)


def _pages(writes: Sequence[Call]) -> list[tuple[int, bytes]]:
    """As they were in the end, by address."""
    found = {}
    for call in writes:
        for start in range(0, len(call.data), PAGE):
            page = call.data[start : start + PAGE]
            found[_address(page)] = page
    pages = sorted(found.items())
    assert [address for address, _ in pages] == [pages[0][0] + PAGE * number for number in range(len(pages))]
    return pages


def _address(page: bytes) -> int:
    return int(struct.unpack_from("<Q", page, 8)[0])


def _records(pages: Sequence[tuple[int, bytes]]) -> list[Record]:
    """Those that begin in these pages. A page's header says how much of an older record it begins with."""
    heads = [40 if page[2] & 0x02 else 24 for _, page in pages]  # the first page of a file says more
    text = b"".join(page[head:] for (_, page), head in zip(pages, heads, strict=True))
    starts = [0]
    for head in heads:
        starts.append(starts[-1] + PAGE - head)
    at, found = _aligned(struct.unpack_from("<I", pages[0][1], 16)[0]), []
    while at + RECORD_HEADER <= len(text):
        size, transaction, _before, info, manager = struct.unpack_from("<IIQBB", text, at)
        end = at + size
        if size < RECORD_HEADER or end > len(text):
            break
        last = bisect_right(starts, end - 1) - 1
        address, page = pages[last]
        commits = manager == TRANSACTIONS and info & KIND == COMMIT
        kept = page[: heads[last] + end - starts[last]] if commits else b""
        found.append(Record(transaction, commits, text[at:end], address, kept))
        at += _aligned(size)
    return found


def _aligned(size: int) -> int:
    return (size + 7) & ~7


def _holds(call: Call, record: Record) -> bool:
    """Whether the record is complete with this write; all before it had been written then."""
    pages = (call.data[start : start + PAGE] for start in range(0, len(call.data), PAGE))
    return any(_address(page) == record.address and page.startswith(record.page) for page in pages)
