"""How many sockets there may be: in all, from one address, of one user. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from webmacs.config import ServerSettings

TOO_MANY: Final = "Too many connections"


class Places:
    """Who is in, and whether there is room for one more. A place is given back whatever way the `with` block ends."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._taken = 0
        self._leaving = 0
        self._by: Counter[Hashable] = Counter()  # addresses are texts, users numbers

    @property
    def taken(self) -> int:
        """How many are in."""
        return self._taken

    def refusal(self, address: str, user_id: int | None = None) -> str | None:
        """Why there is no place for one more from there, of that user if it is known already; None: there is."""
        if self._taken >= self._settings.max_connections:
            return TOO_MANY
        if self._by[address] >= self._settings.max_connections_per_address:
            return f"{TOO_MANY} from this address"
        if user_id is not None and self._by[user_id] >= self._settings.max_connections_per_user:
            return f"{TOO_MANY} of this user"
        return None

    @contextmanager
    def place(self, address: str, user_id: int) -> Iterator[None]:
        """A place, for as long as the block lasts."""
        self._taken += 1
        self._by.update((address, user_id))
        try:
            yield
        finally:
            self._taken -= 1
            for key in (address, user_id):
                self._by[key] -= 1
                if not self._by[key]:
                    del self._by[key]

    @contextmanager
    def way_out(self) -> Iterator[bool]:
        """For one who is refused, and has no place: whether there is room to wait until it has read why."""
        if self._leaving >= self._settings.max_refused:
            yield False
            return
        self._leaving += 1
        try:
            yield True
        finally:
            self._leaving -= 1
