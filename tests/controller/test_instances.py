"""Which instances a controller serves, of those that a server lists."""

from __future__ import annotations

from tests.controller.pretender import instance
from webmacs.controller.instances import enabled_instances


def test_those_that_are_switched_on_are_served() -> None:
    off = {**instance(), "enabled": False}
    assert [found.public_id for found in enabled_instances([off, instance()])] == [instance()["public_id"]]


def test_what_is_sent_by_others_is_not_served_and_no_fault_of_the_list() -> None:
    assert enabled_instances([{**instance(), "plugin_id": "adopted"}]) == []
