"""The files of the dashboard: what of them is served under which name, and what is told of each."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.small_bundle import small_bundle
from webmacs.bundle import Bundle


def loaded(directory: Path) -> Bundle:
    bundle = Bundle(directory)
    bundle.load()
    return bundle


TYPES = {
    "index.html": "text/html",
    "favicon.svg": "image/svg+xml",
    "manifest.webmanifest": "application/manifest+json",
    "assets/index-1a2b.js": "text/javascript",
    "assets/index-3c4d.css": "text/css",
}


@pytest.mark.parametrize(("name", "kind"), TYPES.items())
def test_a_file_has_its_path_for_a_name_and_the_type_that_a_browser_asks_for(
    tmp_path: Path, name: str, kind: str
) -> None:
    directory = small_bundle(tmp_path)
    file = loaded(directory).get(name)
    assert file is not None
    assert (file.body, file.content_type) == ((directory / name).read_bytes(), kind)


def test_what_lies_in_assets_and_nothing_else_may_be_kept_for_ever(tmp_path: Path) -> None:
    bundle = loaded(small_bundle(tmp_path))
    kept = {name: file.hashed for name in TYPES if (file := bundle.get(name)) is not None}
    assert kept == {name: name.startswith("assets/") for name in TYPES}


@pytest.mark.parametrize("name", ["", "assets", "assets/", "./index.html", "../secret", "/index.html", "INDEX.HTML"])
def test_a_name_that_is_not_in_the_bundle_is_no_file(tmp_path: Path, name: str) -> None:
    directory = small_bundle(tmp_path)
    (directory.parent / "secret").write_text("secret")
    assert loaded(directory).get(name) is None


def test_files_are_read_once(tmp_path: Path) -> None:
    directory = small_bundle(tmp_path)
    bundle = loaded(directory)
    first = bundle.index
    (directory / "index.html").write_text("another")
    (directory / "new.txt").write_text("new")
    assert first is not None
    assert bundle.index == first
    assert bundle.get("new.txt") is None


def test_the_tag_of_a_file_changes_with_what_is_in_it_alone(tmp_path: Path) -> None:
    directory = small_bundle(tmp_path)
    first, again = loaded(directory).index, loaded(directory).index
    (directory / "index.html").write_text("another")
    changed = loaded(directory).index
    assert first is not None
    assert again is not None
    assert changed is not None
    assert first.etag == again.etag != changed.etag


def test_a_file_is_compressed_once(tmp_path: Path) -> None:
    bundle = loaded(small_bundle(tmp_path))
    file = bundle.index
    assert file is not None
    body = bundle.compressed(file)
    assert gzip.decompress(body) == file.body
    assert bundle.compressed(file) is body


def test_without_a_directory_nothing_was_built(tmp_path: Path) -> None:
    bundle = loaded(tmp_path / "nowhere")
    assert bundle.index is None
    assert bundle.get("index.html") is None
