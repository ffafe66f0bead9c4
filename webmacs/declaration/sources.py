"""Secrets of webhooks and passwords of new users: they are not in the file, which says where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from webmacs.auth import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH
from webmacs.declaration.file import Declaration, place
from webmacs.declaration.plan import Mode
from webmacs.declaration.problem import Problem, shown
from webmacs.declaration.state import Present

MAX_SECRET: Final = 255
MAX_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Secrets:
    """What was found, by the place of the webhook or user it is for; `problems` are of those that were not."""

    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: tuple[Problem, ...] = ()


class _Source(NamedTuple):
    """Where a secret is, what it is called in the file, and how long it may be."""

    place: str
    what: str
    file: str | None
    variable: str | None
    least: int
    most: int


def fetch(
    declaration: Declaration,
    there: Present,
    directory: Path,
    environ: Mapping[str, str],
    mode: Mode = Mode.BRING,
) -> Secrets:
    """All that the file refers to and that is needed: passwords of users who are there are not.

    Relative paths are relative to `directory`, that of the file.
    """
    texts, problems = {}, []
    for source in _sources(declaration, there, mode):
        try:
            texts[source.place] = _text(source, directory, environ)
        except ValueError as error:
            key = f"{source.what}_{'env' if source.file is None else 'file'}"
            problems.append(Problem(f"{source.place}.{key}", str(error)))
    return Secrets(texts, tuple(problems))


def _sources(declaration: Declaration, there: Present, mode: Mode) -> Iterator[_Source]:
    for number, user in enumerate(declaration.users):
        if user.email not in there.users and (user.password_file or user.password_env):
            limits = (MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH)
            yield _Source(place("users", number), "password", user.password_file, user.password_env, *limits)
    for number, webhook in enumerate(declaration.webhooks):
        stays = mode is Mode.ADD and webhook.url in there.webhooks
        if (webhook.secret_file or webhook.secret_env) and not stays:
            yield _Source(place("webhooks", number), "secret", webhook.secret_file, webhook.secret_env, 1, MAX_SECRET)


def _text(source: _Source, directory: Path, environ: Mapping[str, str]) -> str:
    """Raises `ValueError`, which says what is wrong and does not repeat the secret."""
    if source.file is not None and source.variable is not None:
        raise ValueError(f"give it or {source.what}_env, not both")
    if source.file is not None:
        where, text = shown(source.file), _read(directory / source.file)
    else:
        name = source.variable or ""
        where = f"the environment variable {shown(name)}"
        if name not in environ:
            raise ValueError(f"{where} is not set")
        text = environ[name]
    if not source.least <= len(text) <= source.most or not text.isprintable():
        raise ValueError(
            f"{where} does not hold a {source.what}: {source.least} to {source.most} printable characters, on one line"
        )
    return text


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8") from None
