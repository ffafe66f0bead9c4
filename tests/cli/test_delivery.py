"""`webmacs webhook deliveries` and `redeliver`: what became of deliveries, and how one is made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.hooks import change
from tests.cli.runner import complaint, done, misuse, on_terminal, rows, run, said
from tests.plant import Plant, now_us
from webmacs.model import Delivery, DeliveryStatus, NewDelivery
from webmacs.storage import deliveries, webhooks
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import Outcome

ASKED_US = 1_778_000_000_000_000
ASKED = "2026-05-05T16:53:20.000000+00:00"
PAYLOAD = '{"type":"sensor.reading","time":"2026-05-05T16:53:20.000000+00:00","sensor":"","value":1.0,"note":"a  b"}'
IDS = {
    DeliveryStatus.PENDING: "aaaa1111-0000-4000-8000-000000000001",
    DeliveryStatus.DELIVERED: "aaaa2222-0000-4000-8000-000000000002",
    DeliveryStatus.DEAD_LETTER: "bbbb3333-0000-4000-8000-000000000003",
}
RECEIVER = "http://203.0.113.7/"


async def ask(storage: Storage, *public_ids: str, webhook_id: int = 1, event: str = "sensor.reading") -> None:
    """Deliveries that were asked for."""
    made = [NewDelivery(public_id, webhook_id, event, PAYLOAD, ASKED_US) for public_id in public_ids]
    await storage.write(deliveries.deliver(made))


async def attempt(storage: Storage, status: DeliveryStatus, *, error: str | None, due_us: int = ASKED_US) -> None:
    """One more attempt at the delivery that ends like that."""
    (delivery,) = [one for one in await all_of(storage) if one.public_id == IDS[status]]
    await storage.write(deliveries.attempted([Outcome(delivery, status, error, None, due_us, ASKED_US + 1_000_000)]))


async def all_of(storage: Storage) -> list[Delivery]:
    return await deliveries.deliveries(storage, 1, limit=100)


@pytest.fixture
def filled(plant: Plant, storage_url: str) -> None:
    """A webhook with a delivery of each status, the oldest still waiting, and another webhook with one."""

    async def fill(storage: Storage) -> None:
        for url in (RECEIVER, "http://203.0.113.8/"):
            await webhooks.add_webhook(storage, url=url, events=["sensor.reading"], now_us=1)
        await ask(storage, *IDS.values())
        await ask(storage, "cccc4444-0000-4000-8000-000000000004", webhook_id=2)
        await attempt(storage, DeliveryStatus.DELIVERED, error=None)
        await attempt(storage, DeliveryStatus.DEAD_LETTER, error="HTTP 410")

    change(storage_url, fill)


def statuses(url: str) -> dict[str, tuple[str, int]]:
    """By id: status and attempts."""
    found = {}

    async def look(storage: Storage) -> None:
        found.update({one.public_id: (one.status.value, one.attempts) for one in await all_of(storage)})

    change(url, look)
    return found


# -- what became of them ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
def test_the_lines_of_a_list_have_columns_that_stay_and_the_newest_comes_first(config: Path) -> None:
    assert rows("webhook", "deliveries", "113.7", "--config", config) == [
        [IDS[DeliveryStatus.DEAD_LETTER], ASKED, "sensor.reading", "dead_letter", "1", "", "HTTP 410"],
        [IDS[DeliveryStatus.DELIVERED], ASKED, "sensor.reading", "delivered", "1", ASKED.replace(":20", ":21"), ""],
        [IDS[DeliveryStatus.PENDING], ASKED, "sensor.reading", "pending", "0", ASKED, ""],
    ]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("status", list(DeliveryStatus))
def test_those_of_one_status_can_be_chosen(config: Path, status: DeliveryStatus) -> None:
    found = rows("webhook", "deliveries", "113.7", "--status", status, "--config", config)
    assert [row[0] for row in found] == [IDS[status]]


@pytest.mark.usefixtures("filled")
def test_no_more_are_listed_than_asked_for(config: Path) -> None:
    found = rows("webhook", "deliveries", "113.7", "--limit", "2", "--config", config)
    assert [row[3] for row in found] == ["dead_letter", "delivered"]


@pytest.mark.usefixtures("filled")
def test_the_payload_is_the_last_column_if_asked_for(config: Path) -> None:
    for row in rows("webhook", "deliveries", "113.7", "--payload", "--config", config):
        assert row[7:] == [PAYLOAD]


@pytest.mark.parametrize(
    ("more", "text"), [((), "no deliveries\n"), (("--status", "dead_letter"), "no deliveries that are dead_letter\n")]
)
def test_where_there_are_none_that_is_said(
    config: Path, plant: Plant, storage_url: str, more: tuple[str, ...], text: str
) -> None:
    done("webhook", "add", RECEIVER, "--event", "sensor.reading", "--config", config)
    result = run("webhook", "deliveries", "113.7", *more, "--config", config)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", text)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("width", [80, 120])
def test_people_see_a_table(config: Path, storage_url: str, tmp_path: Path, width: int) -> None:
    async def more(storage: Storage) -> None:
        in_an_hour = now_us() + 3_600_000_000 + 30_000_000
        error = "no connection to 203.0.113.7:80: as much as does not fit into a line"
        await attempt(storage, DeliveryStatus.PENDING, error=error, due_us=in_an_hour)

    change(storage_url, more)
    shown = on_terminal("webhook", "deliveries", "113.7", "--config", config, cwd=tmp_path, width=width)
    head, dead, why, delivered, pending, *until = shown
    assert head == "ID        Event           Asked for (UTC)      Attempts  Status"
    assert dead == "bbbb3333  sensor.reading  2026-05-05 16:53:20  1         dead letter"
    assert why == "          HTTP 410"
    assert delivered == "aaaa2222  sensor.reading  2026-05-05 16:53:20  1         delivered"
    assert pending == "aaaa1111  sensor.reading  2026-05-05 16:53:20  1         pending"
    assert until[0].startswith("          next attempt in 60 min; no connection to ")
    assert len(until) == (2 if width == 80 else 1)
    assert all(line.startswith(" " * 10) and len(line) <= width for line in until)


@pytest.mark.usefixtures("filled")
def test_a_payload_can_be_copied_from_the_table(config: Path, tmp_path: Path) -> None:
    shown = on_terminal("webhook", "deliveries", "113.7", "--payload", "--config", config, cwd=tmp_path, width=80)
    assert shown.count(" " * 10 + PAYLOAD) == 3
    assert "          next attempt now" in shown


@pytest.mark.usefixtures("filled")
def test_what_went_well_only_in_the_end_says_when(config: Path, storage_url: str, tmp_path: Path) -> None:
    async def twice(storage: Storage) -> None:
        time_us = ASKED_US + 5_000_000
        for status in (DeliveryStatus.PENDING, DeliveryStatus.DELIVERED):
            (one,) = [one for one in await all_of(storage) if one.public_id == IDS[DeliveryStatus.PENDING]]
            await storage.write(deliveries.attempted([Outcome(one, status, None, 200, ASKED_US, time_us)]))

    change(storage_url, twice)
    *_, last = on_terminal("webhook", "deliveries", "113.7", "--config", config, cwd=tmp_path, width=80)
    assert last == "          delivered at 2026-05-05 16:53:25"


# -- once more ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("given", "status"),
    [
        (IDS[DeliveryStatus.DELIVERED], DeliveryStatus.DELIVERED),
        ("aaaa2", DeliveryStatus.DELIVERED),
        ("BBBB3333-0", DeliveryStatus.DEAD_LETTER),
        ("aaaa1111-", DeliveryStatus.PENDING),
    ],
)
def test_a_delivery_is_made_again_from_the_beginning(
    config: Path, storage_url: str, given: str, status: DeliveryStatus
) -> None:
    before = statuses(storage_url)
    text = said("webhook", "redeliver", given, "--config", config)
    assert text == "1 delivery to be attempted again\n"
    assert statuses(storage_url) == {**before, IDS[status]: ("pending", 0)}


@pytest.mark.usefixtures("filled")
def test_all_that_were_given_up_are_made_again(config: Path, storage_url: str) -> None:
    async def more(storage: Storage) -> None:
        await ask(storage, "dddd5555-0000-4000-8000-000000000005")
        due = await deliveries.due(storage, 1, now_us(), 10)
        outcomes = [Outcome(one, DeliveryStatus.DEAD_LETTER, "HTTP 500", 500, 0, 0) for one in due]
        await storage.write(deliveries.attempted(outcomes))

    change(storage_url, more)
    text = said("webhook", "redeliver", "--dead", "113.7", "--config", config)
    assert text == "3 deliveries to be attempted again\n"
    assert sorted(statuses(storage_url).values()) == [("delivered", 1), *[("pending", 0)] * 3]
    assert said("webhook", "redeliver", "--dead", "113.7", "--config", config).startswith("0 deliveries")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("given", [("bbbb",), ("--dead", "113.7")])
def test_that_nothing_goes_out_is_said_when_the_webhook_is_switched_off(config: Path, given: tuple[str, ...]) -> None:
    done("webhook", "disable", "113.7", "--config", config)
    _, note = said("webhook", "redeliver", *given, "--config", config).splitlines()
    assert note.startswith("note: the webhook is switched off; `")
    assert f" --config {config}` lets " in note


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("given", ["aaaa9999", "", "aaa", "%", "x" * 40, "aaaa____"])
def test_a_delivery_that_is_not_there_is_refused(config: Path, storage_url: str, given: str) -> None:
    before = statuses(storage_url)
    text = complaint("webhook", "redeliver", given, "--config", config)
    assert text.startswith(f"there is no delivery {given!r}; `")
    assert text.endswith(" webhook deliveries WEBHOOK` lists them")
    assert statuses(storage_url) == before


@pytest.mark.usefixtures("filled")
def test_a_delivery_that_several_may_be_is_left_alone(config: Path, storage_url: str) -> None:
    before = statuses(storage_url)
    text = complaint("webhook", "redeliver", "aaaa", "--config", config)
    assert text == "several deliveries begin with 'aaaa'; give more of the id, --lines shows it whole"
    assert statuses(storage_url) == before


@pytest.mark.parametrize("given", [(), ("aaaa", "--dead", "113.7")])
def test_one_or_all_has_to_be_said(nowhere: Path, given: tuple[str, ...]) -> None:
    text = misuse("webhook", "redeliver", *given, "--config", nowhere)
    assert text == "give the id of a delivery, or --dead WEBHOOK for all that were given up"


@pytest.mark.usefixtures("filled")
def test_a_delivery_whose_webhook_is_just_being_removed_is_no_trouble(config: Path, storage_url: str) -> None:
    change(storage_url, lambda storage: ask(storage, "eeee6666-0000-4000-8000-000000000006", webhook_id=99))
    assert said("webhook", "redeliver", "eeee", "--config", config) == "1 delivery to be attempted again\n"
