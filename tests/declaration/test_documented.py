"""`docs/apply.md` names each key that a file may have, and no other."""

from __future__ import annotations

import re

import pytest

from tests.test_documents import ROOT
from webmacs.declaration.file import (
    ChannelEntry,
    Declaration,
    Entry,
    EventEntry,
    PluginEntry,
    RuleEntry,
    UserEntry,
    WebhookEntry,
)

TABLES: dict[str, type[Entry]] = {
    "users": UserEntry,
    "events": EventEntry,
    "plugins": PluginEntry,
    "plugins.channels": ChannelEntry,
    "rules": RuleEntry,
    "webhooks": WebhookEntry,
}


@pytest.fixture(scope="module")
def documented() -> dict[str, set[str]]:
    """The keys in the first columns, by table."""
    found: dict[str, set[str]] = {}
    table = ""
    for line in (ROOT / "docs" / "apply.md").read_text("utf-8").splitlines():
        if header := re.match(r"\| `\[\[(.+)\]\]` \|", line):
            table = header[1]
            found[table] = set()
        elif table and (row := re.match(r"\| (.*?) \|", line)) and "---" not in line:
            found[table] |= set(re.findall(r"`(\w+)`", row[1]))
        elif not line:
            table = ""
    return found


def test_every_table_is_documented(documented: dict[str, set[str]]) -> None:
    assert documented.keys() == TABLES.keys()
    assert {table.partition(".")[0] for table in TABLES} == set(Declaration.model_fields)


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_documented(documented: dict[str, set[str]], table: str) -> None:
    assert documented[table] == set(TABLES[table].model_fields) - {"channels"}
