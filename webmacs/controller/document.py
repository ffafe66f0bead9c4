"""A small JSON document on the disk, replaced whole: after a crash it is the old one or the new one."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from webmacs.errors import SpoolError

_log = logging.getLogger(__name__)


class Document:
    """One file, which only its owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Any]:
        """What it holds; nothing when it is not there. One that cannot be read is put aside, which the log says."""
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("%s cannot be read and begins anew: %s", self._path, error)
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, content: dict[str, Any]) -> None:
        """Replace it.

        Raises:
            SpoolError: it cannot be written; what was there is still there.

        """
        new = self._path.with_suffix(".new")
        try:
            descriptor = os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, for its mode
                json.dump(content, file)
                file.flush()
                os.fdatasync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            raise SpoolError(f"cannot write {self._path}: {error.strerror}; make room, or give it to us") from error
