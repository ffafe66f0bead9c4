"""Secrets and passwords: from a file or a variable, when they are needed, and never said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.declaration.plants import having
from webmacs.declaration.file import read
from webmacs.declaration.plan import Mode
from webmacs.declaration.sources import Secrets, fetch
from webmacs.declaration.state import Present

USER = '[[users]]\nemail = "ann@example.org"\n'
HOOK = '[[webhooks]]\nurl = "http://h"\nevents = ["sensor.reading"]\n'


def fetched(
    file: str, directory: Path, there: Present | None = None, mode: Mode = Mode.BRING, **environ: str
) -> Secrets:
    return fetch(read(file.encode()), there or Present(), directory, environ, mode)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("hünter two\r\n", "utf-8")
    return file


def test_they_come_from_files_beside_the_file_and_from_variables(secret: Path, tmp_path: Path) -> None:
    file = f'{HOOK}secret_file = "secret"\n{HOOK}secret_file = "{secret}"\n{USER}password_env = "P"\n'
    found = fetched(file, tmp_path, P="hunter two")
    assert found == Secrets({"webhooks[0]": "hünter two", "webhooks[1]": "hünter two", "users[0]": "hunter two"})
    assert "hunter" not in repr(found)


def test_what_is_not_asked_for_is_not_there(tmp_path: Path) -> None:
    assert fetched(HOOK, tmp_path) == Secrets()


def test_the_password_of_a_user_who_is_there_is_not_looked_for(tmp_path: Path) -> None:
    file = f'{USER}password_file = "nowhere"\n'
    assert fetched(file, tmp_path).problems != ()
    assert fetched(file, tmp_path, having(file)) == Secrets()


def test_the_secret_of_a_webhook_that_stays_is_not_looked_for(tmp_path: Path) -> None:
    file = f'{HOOK}secret_env = "S"\n'
    assert fetched(file, tmp_path, having(file)).problems != ()
    assert fetched(file, tmp_path, having(file), Mode.ADD) == Secrets()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('secret_file = "nowhere"', ".secret_file: cannot read {}/nowhere: No such file or directory"),
        ('secret_file = "binary"', ".secret_file: {}/binary is no text in UTF-8"),
        (
            'secret_file = "empty"',
            ".secret_file: 'empty' does not hold a secret: 1 to 255 printable characters, on one line",
        ),
        ('secret_file = "lines"', ".secret_file: 'lines' does not hold a secret: 1 to 255"),
        ('secret_env = "LONG"', ".secret_env: the environment variable 'LONG' does not hold a secret: 1 to 255"),
        ('secret_env = "NONE"', ".secret_env: the environment variable 'NONE' is not set"),
        ('secret_env = "LONG"\nsecret_file = "lines"', ".secret_file: give it or secret_env, not both"),
    ],
)
def test_what_cannot_be_had_is_named_and_not_repeated(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"CANARY\xff")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "lines").write_text("CANARY\nCANARY\n")
    (problem,) = fetched(f"{HOOK}{line}\n", tmp_path, LONG="CANARY" * 50).problems
    assert str(problem).startswith(f"webhooks[0]{said.format(tmp_path)}")
    assert "CANARY" not in str(problem)


def test_a_password_is_as_long_as_the_api_wants_it(tmp_path: Path) -> None:
    (problem,) = fetched(f'{USER}password_env = "P"\n', tmp_path, P="short").problems
    assert "does not hold a password: 8 to 1024 printable characters, on one line" in str(problem)
