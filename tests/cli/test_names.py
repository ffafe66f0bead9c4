"""Ids become names, asked of the server page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.cli.pretender import Pretender, pretending
from webmacs.cli.names import Label, Names
from webmacs.cli.point import Point, in_list
from webmacs.cli.printable import printable
from webmacs.errors import AuthError, NotFound


@pytest.fixture
async def server() -> AsyncIterator[Pretender]:
    async with pretending() as pretender:
        yield pretender


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def item(public_id: str, name: str = "Pressure", unit: object = "bar") -> dict[str, object]:
    return {"public_id": public_id, "name": name, "unit": unit}


def points(*events: str, experiment: str | None = None) -> list[Point]:
    return in_list([{"value": 1, "event_public_id": event, "experiment_public_id": experiment} for event in events])


async def test_all_pages_are_read(server: Pretender, session: aiohttp.ClientSession) -> None:
    server.lists["events"] = [item(f"e{number}", f"Sensor {number}") for number in range(256)]
    names = Names()
    await names.load(session, server.address, "good")
    assert [names.event(f"e{number}").name for number in (0, 99, 100, 255)] == [
        "Sensor 0",
        "Sensor 99",
        "Sensor 100",
        "Sensor 255",
    ]
    assert len(server.page_queries) == 4  # three of events, one of experiments, which are not offered


async def test_a_server_that_offers_no_lists_leaves_the_ids(server: Pretender, session: aiohttp.ClientSession) -> None:
    names = Names()
    await names.load(session, server.address, "good")
    assert names.event("abc-123") == Label("abc-123")
    assert names.experiment("0123456789") == "01234567"


async def test_a_list_without_end_is_given_up(
    server: Pretender, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webmacs.cli.names.MAX_PAGES", 2)
    server.lists["events"] = [item(f"e{number}") for number in range(300)]
    names = Names()
    await names.load(session, server.address, "good")
    assert names.event("e199").name == "Pressure"
    assert names.event("e200").name == "e200"


async def test_experiments_have_names_where_they_are_offered(server: Pretender, session: aiohttp.ClientSession) -> None:
    server.lists["experiments"] = [item("x1", "First look")]
    names = Names()
    await names.load(session, server.address, "good")
    assert names.experiment("x1") == "First look"
    assert names.experiment(None) == ""


async def test_odd_items_are_passed_over(server: Pretender, session: aiohttp.ClientSession) -> None:
    server.lists["events"] = [{"name": "no id"}, {"public_id": 7, "name": "x"}, item("e1", unit=None)]
    names = Names()
    await names.load(session, server.address, "good")
    assert names.event("e1") == Label("Pressure", "")


async def test_a_refused_token_is_an_error(server: Pretender, session: aiohttp.ClientSession) -> None:
    with pytest.raises(AuthError, match="Invalid or expired token"):
        await Names().load(session, server.address, "bad")


async def test_other_failures_of_a_list_are_errors(server: Pretender, session: aiohttp.ClientSession) -> None:
    server.lists["events"] = [{"public_id": object}]  # which the server cannot put into JSON
    with pytest.raises(aiohttp.ClientResponseError):
        await Names().load(session, server.address, "good")


async def test_unknown_ids_are_asked_for_but_not_again_and_again(
    server: Pretender, session: aiohttp.ClientSession
) -> None:
    server.lists["events"] = [item("e1")]
    server.lists["experiments"] = [item("x1", "First look")]
    names = Names()
    for _ in range(3):
        await names.follow(points("e1", "e2"), session, server.address, "good")
    assert names.event("e1").name == "Pressure"
    assert len(server.page_queries) == 2


async def test_known_ids_are_not_asked_for(server: Pretender, session: aiohttp.ClientSession) -> None:
    server.lists["events"] = [item("e1")]
    names = Names()
    await names.load(session, server.address, "good")
    names._asked_at = float("-inf")
    asked = len(server.page_queries)
    await names.follow(points("e1"), session, server.address, "good")
    assert len(server.page_queries) == asked


async def test_names_that_cannot_be_had_stop_nothing(session: aiohttp.ClientSession, port: int) -> None:
    names = Names()
    await names.follow(points("e1"), session, f"http://127.0.0.1:{port}", "good")
    assert names.event("e1") == Label("e1")


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["e2"], ["e2"]),
        (["Temperature"], ["e1"]),
        (["temperature 2"], ["e2"]),
        (["TEMP"], ["e1", "e2"]),
        (["e2", "temp"], ["e2", "e1"]),
        ([], []),
    ],
)
async def test_events_are_chosen_by_id_name_or_part_of_it(
    server: Pretender, session: aiohttp.ClientSession, wanted: list[str], chosen: list[str]
) -> None:
    server.lists["events"] = [item("e1", "Temperature"), item("e2", "Temperature 2"), item("e3", "Pressure")]
    names = Names()
    await names.load(session, server.address, "good")
    assert names.chosen(wanted) == chosen


async def test_an_event_that_does_not_exist_cannot_be_chosen(server: Pretender, session: aiohttp.ClientSession) -> None:
    server.lists["events"] = [item("e1")]
    names = Names()
    await names.load(session, server.address, "good")
    with pytest.raises(NotFound, match="no event is called 'Humidity'"):
        names.chosen(["Humidity"])


def test_without_names_what_is_chosen_is_an_id() -> None:
    assert Names().chosen(["abc-123"]) == ["abc-123"]


@pytest.mark.promise("S10")
def test_a_name_cannot_give_the_terminal_orders() -> None:
    assert printable("a\x1b[2Jb\tc\nd") == "a [2Jb c d"
