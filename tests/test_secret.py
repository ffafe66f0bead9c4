"""The key that signs tokens."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from tests.plant import SECRET, settings_for
from webmacs.app import build_app
from webmacs.config import Settings
from webmacs.errors import ConfigError
from webmacs.secret import secret_key

POSTGRES = "postgresql://postgres@127.0.0.1:1/webmacs"


def without_key(url: str, directory: Path, **auth: Any) -> Settings:
    return settings_for(url, directory, auth={"secret_key": None, **auth})


def test_a_key_that_is_given_is_the_key(tmp_path: Path) -> None:
    assert secret_key(settings_for("sqlite:///test.db", tmp_path)) == SECRET
    assert list(tmp_path.iterdir()) == []


def test_an_embedded_database_gets_a_key_of_its_own_beside_it_for_the_owners_eyes_only(tmp_path: Path) -> None:
    made = secret_key(without_key("sqlite:///test.db", tmp_path))
    assert len(made) == 64
    (file,) = tmp_path.iterdir()
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == ("test.key", 0o600)
    assert secret_key(without_key("sqlite:///test.db", tmp_path)) == made
    assert secret_key(without_key("sqlite:///other.db", tmp_path)) != made


def test_who_only_looks_makes_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*test\.key"):
        secret_key(without_key("sqlite:///test.db", tmp_path), make=False)
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_is_beside_the_configuration_and_stripped(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"\n {SECRET} \n", encoding="utf-8")
    assert secret_key(without_key(POSTGRES, tmp_path, secret_key_file="key")) == SECRET


def test_a_database_that_several_servers_may_share_needs_a_key_that_is_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"auth\.secret_key: must be given"):
        secret_key(without_key(POSTGRES, tmp_path))


@pytest.mark.promise("S2")
@pytest.mark.parametrize("text", [b"", b"short", b"x" * 31, b" " * 100, b"x" * 31 + b"\n"])
def test_a_key_of_fewer_than_32_bytes_is_no_start(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "key").write_bytes(text)
    with pytest.raises(ConfigError, match="holds fewer than 32 bytes") as refused:
        build_app(without_key(POSTGRES, tmp_path, secret_key_file="key"))
    assert "xxx" not in str(refused.value)


def test_bytes_are_counted_not_letters(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ü" * 16, encoding="utf-8")
    assert secret_key(without_key(POSTGRES, tmp_path, secret_key_file="key")) == "ü" * 16


@pytest.mark.parametrize("content", [None, b"\xff" * 40])
def test_a_key_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match=r"auth\.secret_key_file: cannot read .*key"):
        secret_key(without_key(POSTGRES, tmp_path, secret_key_file="key"))


def test_a_place_where_no_key_can_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot make the key .*nowhere"):
        secret_key(without_key("sqlite:///nowhere/test.db", tmp_path))
