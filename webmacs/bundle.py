"""The files that the dashboard was built into: read once, kept in memory, compressed when somebody first asks."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(__file__).parent / "static"
INDEX: Final = "index.html"
_LEVEL: Final = 9
_TYPES: Final = {".js": "text/javascript", ".webmanifest": "application/manifest+json"}  # as no system says otherwise


@dataclass(frozen=True, slots=True)
class File:
    """A file of the bundle. `hashed`: its name changes with what is in it, so that it may be kept for ever."""

    body: bytes
    content_type: str
    hashed: bool
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "etag", hashlib.sha256(self.body).hexdigest()[:32])


class Bundle:
    """The files by their path in an address, `assets/index-4f2a.js`. Without any, the dashboard was not built."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, File] = {}
        self._compressed: dict[str, bytes] = {}

    def load(self) -> None:
        """Read all files there are. Raises `OSError`; a directory that is not there has none."""
        found = sorted(path for path in self._directory.rglob("*") if path.is_file())
        self._files = {path.relative_to(self._directory).as_posix(): _file(path, self._directory) for path in found}

    @property
    def index(self) -> File | None:
        """The page that every address of the dashboard begins with."""
        return self._files.get(INDEX)

    def get(self, name: str) -> File | None:
        """The file of that name."""
        return self._files.get(name)

    def compressed(self, file: File) -> bytes:
        """A file's body by gzip, made the first time; that takes some milliseconds for the largest."""
        body = self._compressed.get(file.etag)
        if body is None:
            body = self._compressed[file.etag] = gzip.compress(file.body, _LEVEL, mtime=0)
        return body


def _file(path: Path, directory: Path) -> File:
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return File(path.read_bytes(), kind, hashed=path.parent == directory / "assets")
