"""Messages as they go out: framed once, and updates of which each client may want another part.

The frame of a server is unmasked, so the same bytes serve every client (RFC 6455, section 5.1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

_SHORT: Final = 125
_MEDIUM: Final = 0xFFFF


def text_frame(payload: bytes) -> bytes:
    """One unmasked, final text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size <= _SHORT:
        return bytes((0x81, size)) + payload
    if size <= _MEDIUM:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def encode(message: Mapping[str, object]) -> bytes:
    """A message as compact JSON in UTF-8."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


class Update:
    """A message made of one fragment of JSON per key, of which a client may want only some keys.

    Two updates coalesce into one that holds the newest fragment of each key, which is what a slow client gets.
    """

    __slots__ = ("fragments", "head", "tail")

    def __init__(self, head: bytes, fragments: Mapping[str, bytes], tail: bytes) -> None:
        self.head, self.fragments, self.tail = head, fragments, tail

    def frame(self, wanted: frozenset[str] | None) -> bytes:
        """The frame for a client that wants these keys (None: all); empty when it holds nothing for that client."""
        if wanted is None:
            chosen = list(self.fragments.values())
        else:
            fragment = self.fragments.get
            chosen = [found for key in wanted if (found := fragment(key)) is not None]
        return text_frame(self.head + b",".join(chosen) + self.tail) if chosen else b""

    def onto(self, older: Update | None, wanted: frozenset[str] | None) -> Update:
        """Itself laid over an older one that still waits, reduced to the wanted keys."""
        fragments = self.fragments
        if wanted is not None:
            fragments = {key: fragments[key] for key in fragments.keys() & wanted}
        return Update(self.head, {**older.fragments, **fragments} if older else fragments, self.tail)


class Round:
    """Updates that go out together, in order. Frames are made once for each set of wanted keys, whoever shares it.

    Nothing is left out: those that have no key in common become one, others stay messages of their own.
    """

    __slots__ = ("_made", "size", "updates")

    def __init__(self, *updates: Update) -> None:
        self.updates: list[Update] = []
        self.size = 0
        self._made: dict[frozenset[str] | None, bytes] = {}
        for update in updates:
            self.add(update)

    def add(self, update: Update) -> None:
        """One more, before any of them is written."""
        self.size += sum(map(len, update.fragments.values()))
        if self.updates and self.updates[-1].fragments.keys().isdisjoint(update.fragments):
            self.updates[-1] = update.onto(self.updates[-1], None)
        else:
            self.updates.append(update)

    def frames(self, wanted: frozenset[str] | None) -> bytes:
        """All of them for a client that wants these keys."""
        made = self._made.get(wanted)
        if made is None:
            made = self._made[wanted] = b"".join([update.frame(wanted) for update in self.updates])
        return made
