"""How a controller is let in, and whom it believes: from its settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from webmacs.config import ControllerSettings
from webmacs.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token, or both of the others."""

    token: str | None = field(default=None, repr=False)
    email: str | None = None
    password: str | None = field(default=None, repr=False)


def credentials(settings: ControllerSettings, directory: Path) -> Credentials:
    """What the settings give; files are relative to the directory. A token is tried before an account.

    Raises:
        ConfigError: there is nothing, or a file cannot be read.

    """
    if settings.token is not None:
        return Credentials(token=settings.token.get_secret_value())
    if settings.token_file is not None:
        return Credentials(token=_line("token_file", directory / settings.token_file))
    if settings.password_file is not None:
        return Credentials(email=settings.email, password=_line("password_file", directory / settings.password_file))
    raise ConfigError(
        "controller: there is no way in; give token, token_file, or email and password_file, or set WEBMACS_API_TOKEN"
    )


def trust(cafile: Path | str | None) -> ssl.SSLContext | bool:
    """Whose certificates to believe: those in that file (PEM), or those that the system believes.

    Raises:
        ConfigError: there are none in the file.

    """
    if cafile is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(cafile))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use the certificates in {cafile}: {error}") from error


def _line(key: str, path: Path) -> str:
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"controller.{key}: cannot read {path}: {error}") from error
    if not text:
        raise ConfigError(f"controller.{key}: {path} is empty")
    return text
