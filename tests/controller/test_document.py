"""Small documents: the old one or the new one, whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from webmacs.controller.document import Document
from webmacs.errors import SpoolError


def test_what_is_written_is_read_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    assert Document(path).read() == {}
    Document(path).write({"a": 1})
    Document(path).write({"b": [2]})
    assert Document(path).read() == {"b": [2]}
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", '{"a": 1', "\x00" * 10, "[" * 100_000])
def test_one_that_cannot_be_read_begins_anew_and_that_is_said(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "document.json"
    path.write_text(content)
    assert Document(path).read() == {}
    assert "cannot be read and begins anew" in caplog.text


def test_one_that_is_no_object_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text("[1]")
    assert Document(path).read() == {}


def test_one_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    Document(path).write({"a": 1})
    (tmp_path / "document.new").mkdir()
    with pytest.raises(SpoolError, match=r"cannot write .*document\.json: Is a directory"):
        Document(path).write({"a": 2})
    assert Document(path).read() == {"a": 1}
