"""Where batches go that a server will never take: a file that people can read, bounded, with the reason."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from webmacs.controller.batch import Batch
from webmacs.errors import SpoolError

NAME: Final = "refused.jsonl"


class RefusedFile:
    """A line of JSON a batch. Above `max_bytes` a new file is begun; the one before is kept until the next time."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._path, self._max_bytes = directory / NAME, max_bytes

    def put(self, batch: Batch, reason: str) -> None:
        """Add one. Raises `SpoolError`."""
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "batch_id": batch.batch_id,
            "reason": reason,
            "readings": [[reading.event, reading.value, reading.wall_ns] for reading in batch.readings],
        }
        try:
            if self._path.exists() and self._path.stat().st_size >= self._max_bytes:
                self._path.replace(self._path.with_suffix(".old.jsonl"))
            descriptor = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
            with open(descriptor, "a", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, for its mode
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise SpoolError(f"cannot write {self._path}: {error.strerror}; make room on its disk") from error
