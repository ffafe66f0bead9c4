"""Which server it is, and what has been learned of it."""

from __future__ import annotations

import logging
from typing import Final

from webmacs.controller.document import Document
from webmacs.errors import SpoolError

_log = logging.getLogger(__name__)

NO_ACKS: Final = (
    "this server does not acknowledge what it is given: what is on the way when a connection breaks may be lost"
)


class Server:
    """A server's address, without a slash at its end, and whether it acknowledges.

    That it does is kept in a document: it is then never taken for one that does not, however long it is silent.
    """

    def __init__(self, address: str, known: Document | None = None) -> None:
        self.address, self._known = address.rstrip("/"), known
        self.acknowledges: bool | None = True if known and known.read().get("acknowledges") == self.address else None
        """None while that is not known."""

    def learn(self, *, acknowledges: bool) -> None:
        """It is known now."""
        if self.acknowledges == acknowledges:
            return
        self.acknowledges = acknowledges
        if not acknowledges:
            _log.warning("%s", NO_ACKS)
        elif self._known is not None:
            try:
                self._known.write({"acknowledges": self.address})
            except SpoolError as error:
                _log.warning("%s", error)
