"""The directory that a controller keeps everything in: the spool, and some documents beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webmacs.config import ControllerSettings
from webmacs.controller.clocks import LocalClock
from webmacs.controller.document import Document
from webmacs.controller.limits import SpoolLimits
from webmacs.controller.refused import RefusedFile
from webmacs.controller.spool import Spool

MB = 10**6


class Directory:
    """Open as long as the controller runs; nobody else has it then."""

    def __init__(self, path: Path, settings: ControllerSettings, clock: LocalClock) -> None:
        limits = SpoolLimits(
            max_bytes=settings.spool_max_mb * MB,
            batch_readings=settings.max_batch_size,
            batch_bytes=settings.max_message_bytes,
            sync_s=settings.spool_sync_s,
        )
        self._path = path
        self.spool = Spool(path, limits, clock.boot)
        self.refused = RefusedFile(path, settings.refused_max_mb * MB)

    def document(self, name: str) -> Document:
        """A document in it."""
        return Document(self._path / name)


@contextmanager
def opened(path: Path, settings: ControllerSettings, clock: LocalClock) -> Iterator[Directory]:
    """The directory, made when it is not there.

    Raises:
        SpoolError: another process has it, or it cannot be used.

    """
    directory = Directory(path, settings, clock)
    directory.spool.open()
    try:
        yield directory
    finally:
        directory.spool.close()
