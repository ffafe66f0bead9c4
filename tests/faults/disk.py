"""When a value was on the disk for good: its transaction's end had been written, and a flush after that had returned.

Both storages write a log first, which is read here as it came: what was written to it, and when it was flushed.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults.trace import NEVER, Call

Flushed = Mapping[float, int]
"""By value: the place in the trace at which it was on the disk for good; `NEVER` when it was not."""

FRAME_HEADER: Final = 24
PAGE: Final = 8192
SEGMENT: Final = re.compile(r"/pg_wal/[0-9A-F]{24}$")
RECORD_HEADER: Final = 24
TRANSACTIONS: Final = 1  # the resource manager of their ends
COMMIT: Final = 0x00
KIND: Final = 0x70


def on_sqlite(calls: Sequence[Call], values: Iterable[float]) -> Flushed:
    """The log is FILE-wal: frames of a header and a page each; the last of a transaction says so in its header.

    https://sqlite.org/fileformat2.html, section 4.1
    """
    log = _Log([call for call in calls if call.file.endswith("-wal")])
    ends = [
        at + 1
        for at, call in enumerate(log.writes[:-1])
        if len(call.data) == FRAME_HEADER and struct.unpack_from(">I", call.data, 4)[0]
    ]
    flushed = dict.fromkeys(values, NEVER)
    for value, at in _first_with(flushed, ">d", [call.data for call in log.writes]).items():
        if (end := bisect_left(ends, at)) < len(ends):
            flushed[value] = log.flushed(log.writes[ends[end]])
    return flushed


def on_postgresql(calls: Sequence[Call], values: Iterable[float]) -> Flushed:
    """The log is a sequence of records in pages, of which the last one is written again as it fills.

    https://www.postgresql.org/docs/15/wal-internals.html, and src/include/access/xlogrecord.h, xlog_internal.h
    """
    log = _Log([call for call in calls if SEGMENT.search(call.file)])
    written: dict[int, list[tuple[bytes, Call]]] = {}
    for call in log.writes:
        for start in range(0, len(call.data), PAGE):
            page = call.data[start : start + PAGE]
            written.setdefault(_address(page), []).append((page, call))
    records = _records({address: pages[-1][0] for address, pages in written.items()})
    commits = {record.transaction: record for record in records if record.commits}
    flushed = dict.fromkeys(values, NEVER)
    for value, at in _first_with(flushed, "<d", [record.contents for record in records]).items():
        if commit := commits.get(records[at].transaction):
            # The record is complete with this write, and all before it had been written then.
            flushed[value] = log.flushed(
                next(call for page, call in written[commit.address] if page.startswith(commit.page))
            )
    return flushed


@dataclass(frozen=True, slots=True)
class Record:
    """Of PostgreSQL's log; of one that commits, `page` is what the page in which it ends holds up to there."""

    transaction: int
    commits: bool
    contents: bytes
    address: int
    page: bytes


class _Log:
    """What was written to a log, and when it was flushed."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.writes = [call for call in calls if call.name == "pwrite64"]
        self._flushes: dict[str, list[Call]] = {}
        for call in calls:
            if call.flushes:
                self._flushes.setdefault(call.file, []).append(call)

    def flushed(self, written: Call) -> int:
        """The end of the first flush that began after that write."""
        flushes = self._flushes.get(written.file, [])
        at = bisect_right(flushes, written.ended, key=lambda call: call.began)
        return flushes[at].ended if at < len(flushes) else NEVER


def _first_with(values: Iterable[float], form: str, texts: Sequence[bytes]) -> dict[float, int]:
    """By value, the place of the first text that has it in it. What they have in common is looked for first."""
    wanted = {struct.pack(form, value): value for value in values}
    common = slice(0, 2) if form.startswith(">") else slice(6, 8)
    look = re.compile(b"|".join(re.escape(text) for text in {packed[common] for packed in wanted}))
    found: dict[float, int] = {}
    for at, text in enumerate(texts):
        for hit in look.finditer(text):
            start = hit.start() - common.start
            value = wanted.get(text[start : start + 8]) if start >= 0 else None
            if value is not None:
                found.setdefault(value, at)
    return found


def _address(page: bytes) -> int:
    return int(struct.unpack_from("<Q", page, 8)[0])


def _records(by_address: Mapping[int, bytes]) -> list[Record]:
    """Those that begin in these pages. A page's header says how much of an older record it begins with."""
    addresses = sorted(by_address)
    assert addresses == [addresses[0] + PAGE * number for number in range(len(addresses))]
    pages = [by_address[address] for address in addresses]
    heads = [40 if page[2] & 0x02 else 24 for page in pages]  # the first page of a file says more
    text = b"".join(page[head:] for page, head in zip(pages, heads, strict=True))
    starts = [0]
    for head in heads:
        starts.append(starts[-1] + PAGE - head)
    at, found = _aligned(struct.unpack_from("<I", pages[0], 16)[0]), []
    while at + RECORD_HEADER <= len(text):
        size, transaction, _before, info, manager = struct.unpack_from("<IIQBB", text, at)
        end = at + size
        if size < RECORD_HEADER or end > len(text):
            break
        last = bisect_right(starts, end - 1) - 1
        commits = manager == TRANSACTIONS and info & KIND == COMMIT
        kept = pages[last][: heads[last] + end - starts[last]] if commits else b""
        found.append(Record(transaction, commits, text[at:end], addresses[last], kept))
        at += _aligned(size)
    return found


def _aligned(size: int) -> int:
    return (size + 7) & ~7
