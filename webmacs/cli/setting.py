"""What commands share: the configuration they are given, a storage to work on, errors as one line."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

import click

from webmacs.config import Settings, load_settings
from webmacs.errors import WebmacsError
from webmacs.extensions import load_storage
from webmacs.storage.base import Storage

P = ParamSpec("P")

config_option = click.option(
    "--config",
    "config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="WEBMACS_CONFIG",
    help="The configuration file (TOML). Default: $WEBMACS_CONFIG, else webmacs.toml here, else defaults.",
)


def settings_from(config: Path | None) -> Settings:
    """The settings of a command line."""
    if config is None and Path("webmacs.toml").is_file():
        config = Path("webmacs.toml")
    return load_settings(config, os.environ)


@asynccontextmanager
async def opened_storage(settings: Settings) -> AsyncIterator[Storage]:
    """The storage of an installation, beside a server that may be running on it."""
    storage = load_storage(settings)
    try:
        await storage.open()
        yield storage
    finally:
        await storage.close()


def runs(command: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a coroutine as a command; our errors become one line on stderr and exit code 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            asyncio.run(command(*args, **kwargs))
        except WebmacsError as error:
            raise click.ClickException(" ".join(str(error).split())) from error

    return run
