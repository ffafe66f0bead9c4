"""Which of several processes a file belongs to: servers on a database, controllers on a spool."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """A lock that one holds at a time, in this process or another. The system lets go of it when the process ends,
    however that comes about; the file stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Hold it; False when another does. Not waited for. Raises `OSError` where there can be no such file."""
        if self._file is None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            except OSError:
                os.close(file)
                raise
            self._file = file
        return True

    def release(self) -> None:
        """Let go of it, if it is held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
