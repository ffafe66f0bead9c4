"""What is written beside the code is true for the code."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.plant import furnished_server
from webmacs.config import ENVIRONMENT_PREFIX, Settings, load_settings
from webmacs.pipeline.base import Stage
from webmacs.pipeline.counts import Failures

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config.example.toml"
CONFIGURATION = ROOT / "docs" / "configuration.md"


def settings_known() -> Iterator[tuple[str, str, Any]]:
    """Section, key and default of every setting there is; the default as TOML has it, None for none."""
    for section, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(section, field.annotation)
    for point in entry_points(group="webmacs.stages"):
        if point.dist is not None and point.dist.name == "webmacs":
            stage: type[Stage] = point.load()
            yield from keys_of(f"stages.{point.name}", stage.Settings)


def keys_of(section: str, model: type[BaseModel]) -> Iterator[tuple[str, str, Any]]:
    defaults = json.loads(model().model_dump_json())
    for key in model.model_fields:
        yield section, key, defaults[key]


KNOWN = {(section, key): default for section, key, default in settings_known()}
NAMES = [f"{section}.{key}" for section, key in KNOWN]


def shown() -> dict[tuple[str, str], Any]:
    """What the example gives, by section and key; None for a key that is shown behind a `#`."""
    found: dict[tuple[str, str], Any] = {}
    section = ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"\[(.+)\]", line):
            section = header[1]
        elif commented := re.match(r"# (\w+) = ", line):
            found[section, commented[1]] = None
        elif given := re.match(r"(\w+) = ", line):
            found[section, given[1]] = tomllib.loads(line)[given[1]]
    return found


@pytest.mark.parametrize(("section", "key"), KNOWN, ids=NAMES)
def test_the_example_shows_each_key_with_its_default(section: str, key: str) -> None:
    assert shown()[section, key] == KNOWN[section, key]


def test_the_example_shows_no_key_that_is_not_there() -> None:
    assert shown().keys() <= KNOWN.keys()


def test_the_example_as_it_is_means_the_same_as_no_file_at_all() -> None:
    changed = {"directory", "stages"}
    assert load_settings(EXAMPLE, {}).model_dump(exclude=changed) == Settings().model_dump(exclude=changed)


def test_the_example_explains_each_key() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    paragraphs = [part for part in text.split("\n\n") if re.search(r"(?m)^\w+ = ", part)]
    unexplained = [part for part in paragraphs if not re.search(r"(?m)^# \S", part)]
    assert unexplained == []


def documented() -> dict[tuple[str, str], str]:
    """The column "Default" of docs/configuration.md, by section and key."""
    found: dict[tuple[str, str], str] = {}
    section = ""
    for line in CONFIGURATION.read_text(encoding="utf-8").splitlines():
        if header := re.match(r"## `\[(.+)\]`", line):
            section = header[1]
        elif row := re.match(r"\| `(\w+)` \| (.*?) \| .+ \|$", line):
            found[section, row[1]] = row[2]
    return found


@pytest.mark.parametrize(("section", "key"), KNOWN, ids=NAMES)
def test_the_documentation_has_a_row_for_each_key_with_its_default(section: str, key: str) -> None:
    default = documented()[section, key].strip("`")
    if KNOWN[section, key] is None:
        assert default == "–"  # noqa: RUF001 - as the table is set
    else:
        assert tomllib.loads(f"value = {default}")["value"] == KNOWN[section, key]


def test_the_documentation_has_no_row_for_a_key_that_is_not_there() -> None:
    assert documented().keys() <= KNOWN.keys()


def test_environment_variables_are_named_as_the_documents_say() -> None:
    named = re.findall(r"WEBMACS_[A-Z]+__[A-Z_]+(?==)", EXAMPLE.read_text() + CONFIGURATION.read_text())
    assert named
    for name in named:
        *section, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        assert (".".join(section), key) in KNOWN


DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(document: Path) -> set[str]:
    """What a link may name in a document: its headings, as forges spell them."""
    headings = re.findall(r"(?m)^#+ (.+)$", document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_the_documents_leads_somewhere(document: Path) -> None:
    astray = []
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            astray.append(link)
    assert astray == []


async def test_the_list_of_metrics_is_complete(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"(?m)^\| `(webmacs_\w+)", text))
    async with furnished_server(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as server:
        counts = Failures(server.parts.metrics, server.parts.clock)
        counts.add(server.parts.stages[0], "is made to fail")  # its counter appears with the first failure
        async with server.client.get(f"{server.address}/metrics", headers=server.headers()) as response:
            shown = await response.text()
    assert set(re.findall(r"(?m)^(webmacs_\w+)", shown)) == listed
