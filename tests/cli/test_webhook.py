"""`webmacs webhook`: receivers, and what they want to hear of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.hooks import READING, URL, add, change, only_webhook, snapshot
from tests.cli.runner import complaint, done, misuse, on_terminal, rows, run, said
from tests.plant import Plant
from webmacs.catalog import Snapshot
from webmacs.model import DeliveryStatus, NewDelivery, Role
from webmacs.storage import deliveries, records
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import Outcome

# -- adding -------------------------------------------------------------------------------------------------------


def test_the_id_of_a_new_webhook_is_printed_alone(config: Path, plant: Plant, storage_url: str) -> None:
    result = run("webhook", "add", "http://[2606:4700::1111]:80/", *READING, "--config", config)
    webhook = only_webhook(storage_url)
    assert (result.exit_code, result.stdout) == (0, webhook.public_id + "\n")
    assert (webhook.url, webhook.events) == ("http://[2606:4700::1111]:80/", ("sensor.reading",))
    assert webhook.enabled


def test_events_are_kept_as_they_are_written_and_each_once(config: Path, plant: Plant, storage_url: str) -> None:
    wanted = ("experiment_started", "sensor.reading", "experiment.started", "sensor.reading", "experiment_stopped")
    events = [argument for event in wanted for argument in ("--event", event)]
    done("webhook", "add", URL, *events, "--config", config)
    assert only_webhook(storage_url).events == ("experiment_started", "sensor.reading", "experiment_stopped")


def test_a_webhook_belongs_to_the_first_administrator(config: Path, plant: Plant, storage_url: str) -> None:
    add(config)

    async def check(storage: Storage) -> None:
        users = (await records.snapshot(storage, 0)).users_by_id
        assert users[only.user_id or 0].email == plant.emails[Role.ADMIN]

    only = only_webhook(storage_url)
    change(storage_url, check)


def test_where_there_is_no_administrator_a_webhook_belongs_to_nobody(config: Path, storage_url: str) -> None:
    done("migrate", "--config", config)
    add(config)
    assert only_webhook(storage_url).user_id is None


def test_a_webhook_can_be_added_switched_off(config: Path, plant: Plant, storage_url: str) -> None:
    add(config, URL, "--disabled")
    assert not only_webhook(storage_url).enabled


def test_an_event_that_is_none_is_refused_with_those_that_are(nowhere: Path) -> None:
    text = complaint("webhook", "add", URL, "--event", "sensor.redding", "--config", nowhere)
    assert text == (
        "'sensor.redding' is no event of webhooks; there are sensor.threshold_exceeded, sensor.reading,"
        " experiment.started, experiment.stopped, system.health_changed"
    )


def test_without_events_there_is_nothing_to_tell(nowhere: Path) -> None:
    assert misuse("webhook", "add", URL, "--config", nowhere) == "Missing option '--event'."


def test_a_receiver_has_one_webhook(config: Path, plant: Plant) -> None:
    public_id = add(config)
    text = complaint("webhook", "add", URL, "--event", "experiment.started", "--config", config)
    assert text == f"there is a webhook for this URL already: {public_id[:8]}; remove it first"


def test_a_receiver_has_one_webhook_also_when_it_came_in_between(
    config: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(config)

    async def before(*_: object) -> Snapshot:
        return Snapshot()

    monkeypatch.setattr(records, "snapshot", before)
    text = complaint("webhook", "add", URL, *READING, "--config", config)
    assert text == "there is a webhook for this URL already: another; remove it first"


async def deliver(
    storage: Storage, count: int, status: DeliveryStatus, *, webhook_id: int = 1, now_us: int = 0
) -> None:
    """Deliveries that have come to that."""
    made = [
        NewDelivery(f"{status}-{now_us}-{number}", webhook_id, "sensor.reading", "{}", now_us)
        for number in range(count)
    ]
    await storage.write(deliveries.deliver(made))
    if status is DeliveryStatus.PENDING:
        return
    due = [one for one in await deliveries.due(storage, webhook_id, now_us, 100) if one.public_id.startswith(status)]
    await storage.write(deliveries.attempted([Outcome(one, status, None, 200, now_us, now_us) for one in due]))


# -- what is there ------------------------------------------------------------------------------------------------


def test_the_lines_of_a_list_have_columns_that_stay(config: Path, plant: Plant, storage_url: str) -> None:
    first = add(config, URL, "--event", "experiment_started", "--new-secret")
    second = add(config, "http://example.invalid/", "--disabled")

    async def work(storage: Storage) -> None:
        await deliver(storage, 1, DeliveryStatus.DELIVERED, now_us=1_000_000)
        await deliver(storage, 1, DeliveryStatus.DELIVERED, now_us=1_500_000)
        await deliver(storage, 3, DeliveryStatus.DEAD_LETTER, now_us=2_000_000)
        await deliver(storage, 4, DeliveryStatus.PENDING)

    change(storage_url, work)
    delivered = "1970-01-01T00:00:01.500000+00:00"
    wanted = "sensor.reading,experiment_started"
    assert rows("webhook", "list", "--config", config) == [
        [first, "https://203.0.113.7:8443/…", wanted, "on", "signed", "4", "3", delivered],
        [second, "http://example.invalid", "sensor.reading", "off", "unsigned", "0", "0", ""],
    ]


def test_urls_are_shown_whole_if_asked_for(config: Path, plant: Plant) -> None:
    add(config)
    assert "CANARY" not in done("webhook", "list", "--config", config)
    assert rows("webhook", "list", "--urls", "--config", config)[0][1] == URL


@pytest.mark.parametrize(("width", "receiver"), [(72, "https://203.0.113.7:…"), (80, "https://203.0.113.7:8443/…")])
def test_people_see_a_table(config: Path, plant: Plant, tmp_path: Path, width: int, receiver: str) -> None:
    first = add(config, URL, "--event", "experiment.started")
    add(config, "http://203.0.113.8", "--new-secret", "--disabled")
    head, one, events, other, more = on_terminal("webhook", "list", "--config", config, cwd=tmp_path, width=width)
    assert head.split("  ")[0] == "ID"
    assert head.split()[1:] == ["Receiver", "State", "Waiting", "Given", "up", "Last", "delivery"]
    assert one.split() == [first[:8], receiver, "on", "0", "0", "never"]
    assert events == "          sensor.reading, experiment.started; not signed"
    assert other.split()[1:3] == ["http://203.0.113.8", "off"]
    assert more == "          sensor.reading"


def test_a_whole_url_can_be_copied_from_the_table(config: Path, plant: Plant, tmp_path: Path) -> None:
    add(config)
    assert f"          {URL}" in on_terminal("webhook", "list", "--urls", "--config", config, cwd=tmp_path, width=80)


def test_where_there_are_no_webhooks_it_is_said_how_to_make_one(config: Path, plant: Plant) -> None:
    result = run("webhook", "list", "--config", config)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith(" webhook add --help` says how to make one\n")


# -- changes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["id", "beginning", "canary-PATH", "203.0.113.7", URL])
def test_a_webhook_is_found_by_id_or_a_part_of_its_url(
    config: Path, plant: Plant, storage_url: str, given: str
) -> None:
    public_id = add(config)
    add(config, "http://203.0.113.8/")
    webhook = {"id": public_id, "beginning": public_id[:8]}.get(given, given)
    text = said("webhook", "disable", webhook, "--config", config)
    assert text == f"switched off {public_id[:8]} https://203.0.113.7:8443/…\n"
    assert [webhook.enabled for webhook in snapshot(storage_url).webhooks] == [False, True]
    said("webhook", "enable", webhook, "--config", config)
    assert [webhook.enabled for webhook in snapshot(storage_url).webhooks] == [True, True]


def test_what_waits_is_said_when_a_webhook_is_switched(config: Path, plant: Plant, storage_url: str) -> None:
    add(config)
    change(storage_url, lambda storage: deliver(storage, 1, DeliveryStatus.PENDING))
    assert said("webhook", "disable", "203", "--config", config).endswith("…; 1 delivery waiting\n")


def test_a_removed_webhook_is_gone_with_its_deliveries(config: Path, plant: Plant, storage_url: str) -> None:
    public_id = add(config)
    change(storage_url, lambda storage: deliver(storage, 3, DeliveryStatus.PENDING))
    assert said("webhook", "remove", "203", "--config", config) == (
        f"removed {public_id[:8]} https://203.0.113.7:8443/…\n"
    )
    assert snapshot(storage_url).webhooks == ()

    async def look(storage: Storage) -> None:
        assert await deliveries.deliveries(storage, 1, limit=10) == []

    change(storage_url, look)


@pytest.mark.parametrize("command", ["remove", "enable", "disable", "rotate", "test", "deliveries"])
def test_a_webhook_that_is_not_there_is_refused_with_those_that_are(config: Path, plant: Plant, command: str) -> None:
    public_id = add(config)
    for wanted in ("CANARY-unknown", ""):  # a script's empty variable is not the only webhook there is
        assert complaint("webhook", command, wanted, "--config", config) == (
            f"no webhook is called that; there are '{public_id[:8]} https://203.0.113.7:8443/…'"
        )


def test_a_webhook_that_several_may_be_is_left_alone(config: Path, plant: Plant, storage_url: str) -> None:
    first, second = add(config), add(config, "http://203.0.113.8/CANARY")
    assert complaint("webhook", "remove", "CANARY", "--config", config) == (
        f"that may be '{first[:8]} https://203.0.113.7:8443/…', '{second[:8]} http://203.0.113.8/…';"
        " say more of the webhook that is meant"
    )
    assert len(snapshot(storage_url).webhooks) == 2
