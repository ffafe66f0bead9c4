"""A file that is there when it is whole, and not before."""

from __future__ import annotations

import errno
import gzip
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import click

from webmacs.cli.setting import plainly


@contextmanager
def output(path: Path | None) -> Iterator[BinaryIO]:
    """Where to write to: a file, compressed if its name ends in `.gz`; None is standard output.

    The file is written beside its place and put there in the end, flushed to the disk. If that is not reached, what
    was there before still is. What is no file, as a pipe, is written to as it is.

    Raises:
        click.ClickException: it cannot be written.

    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    place = path.resolve()  # behind a link
    try:
        if place.exists() and not place.is_file():
            with place.open("wb") as file:
                yield file
            return
        with _beside(place) as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                    yield cast("BinaryIO", packed)
            else:
                yield file
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise click.ClickException(f"cannot write {path}: {plainly(error)}") from error


@contextmanager
def _beside(place: Path) -> Iterator[BinaryIO]:
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
