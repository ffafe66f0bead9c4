"""The key that signs tokens: given, read from a file, or made for an embedded database."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from webmacs.config import MIN_SECRET_BYTES, Settings
from webmacs.errors import ConfigError


def secret_key(settings: Settings, *, make: bool = True) -> str:
    """The key that signs tokens; for an embedded database it is made at the first start and kept beside it.

    `make` False is for those who only look: nothing is made.

    Raises:
        ConfigError: it is too short, cannot be read, or has to be given and is not.

    """
    if settings.auth.secret_key is not None:
        return settings.auth.secret_key.get_secret_value()
    path = settings.auth.secret_key_file
    if path is not None:
        path = settings.directory / path
    elif settings.storage.url.startswith("sqlite:///"):
        path = settings.directory / Path(settings.storage.url.removeprefix("sqlite:///")).with_suffix(".key")
        if make:
            _make_key(path)
    else:
        raise ConfigError("auth.secret_key: must be given (or auth.secret_key_file), at least 32 bytes")
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"auth.secret_key_file: cannot read {path}: {error}") from error
    if len(key.encode()) < MIN_SECRET_BYTES:
        raise ConfigError(f"auth.secret_key_file: {path} holds fewer than {MIN_SECRET_BYTES} bytes")
    return key


def _make_key(path: Path) -> None:
    try:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, for its mode
                file.write(secrets.token_urlsafe(48))
    except OSError as error:
        raise ConfigError(f"cannot make the key {path}: {error.strerror}") from error
