"""`webmacs webhook`: receivers and their secrets, and one attempt by hand. Deliveries: `test_delivery`."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.cli.conftest import Configure
from tests.cli.runner import complaint, done, misuse, on_terminal, rows, run, said
from tests.plant import Plant, settings_for
from webmacs.catalog import Snapshot
from webmacs.cli import receiver
from webmacs.cli.receiver import short_url
from webmacs.cli.setting import opened_storage
from webmacs.config import WebhookSettings
from webmacs.model import DeliveryStatus, NewDelivery, Role, Webhook, to_us
from webmacs.storage import deliveries, records, webhooks
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import Outcome

URL = "https://user:CANARY-password@203.0.113.7:8443/CANARY-path?token=CANARY-query#CANARY-fragment"
READING = ("--event", "sensor.reading")
DAY_US = 86_400_000_000
T = TypeVar("T")


def stored(url: str) -> tuple[Webhook, ...]:
    """The webhooks as a server would read them."""

    async def read() -> tuple[Webhook, ...]:
        async with opened_storage(settings_for(url, Path())) as storage:
            return (await records.snapshot(storage, 0)).webhooks

    return asyncio.run(read())


def only_webhook(url: str) -> Webhook:
    (webhook,) = stored(url)
    return webhook


def change(url: str, work: Callable[[Storage], Any]) -> None:
    """Do something to the storage."""

    async def do() -> None:
        async with opened_storage(settings_for(url, Path())) as storage:
            await work(storage)

    asyncio.run(do())


def add(config: Path, url: str = URL, *more: str, stdin: str = "") -> str:
    """The id of a new webhook."""
    return done("webhook", "add", url, *READING, *more, "--config", config, stdin=stdin).splitlines()[0]


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


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "http://",
        "https:///path",
        "http:example.org",
        "http://example.org:99999/",
        "http://[::1/",
        "http://ex ample.org/",
        "http://example.org/a b",
        "http://example.org/\x1b",
        "http://\udcff/",
    ],
)
def test_what_cannot_be_called_is_refused(nowhere: Path, url: str) -> None:
    text = complaint("webhook", "add", url, *READING, "--config", nowhere)
    assert text == "the URL cannot be called: it wants http:// or https://, a host, a possible port, and no spaces"


def test_a_url_has_a_length(config: Path, plant: Plant, storage_url: str) -> None:
    longest = "https://203.0.113.7/".ljust(2048, "x")
    add(config, longest)
    assert only_webhook(storage_url).url == longest
    text = complaint("webhook", "add", longest + "x", *READING, "--config", config)
    assert text == "the URL has 2049 characters; 2048 are the most"


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


# -- secrets ------------------------------------------------------------------------------------------------------


def test_a_new_secret_is_printed_on_the_second_line(config: Path, plant: Plant, storage_url: str) -> None:
    result = run("webhook", "add", URL, *READING, "--new-secret", "--config", config)
    webhook = only_webhook(storage_url)
    assert result.stdout.splitlines() == [webhook.public_id, webhook.secret]
    assert (webhook.secret or "").startswith("whsec_")
    assert "not signed" not in result.stderr


@pytest.mark.parametrize("secret", ["§", "ä" * 255, " with spaces "])
def test_a_secret_comes_by_standard_input_and_is_not_repeated(
    config: Path, plant: Plant, storage_url: str, secret: str
) -> None:
    result = run("webhook", "add", URL, *READING, "--secret-stdin", "--config", config, stdin=f"{secret}\r\nmore\n")
    assert only_webhook(storage_url).secret == secret
    assert len(result.stdout.splitlines()) == 1
    assert secret.strip() not in result.stderr


@pytest.mark.parametrize("text", ["", "\n", "x" * 256, "a\tb\n", b"\xff\xfe\n"])
@pytest.mark.parametrize("command", [("add", URL, *READING), ("rotate", "203")])
def test_a_secret_that_is_none_is_refused(nowhere: Path, text: str | bytes, command: tuple[str, ...]) -> None:
    said = complaint("webhook", *command, "--secret-stdin", "--config", nowhere, stdin=text)
    assert said == "a secret has 1 to 255 printable characters, on one line of standard input"


def test_a_secret_is_given_or_made(nowhere: Path) -> None:
    text = misuse("webhook", "add", URL, *READING, "--secret-stdin", "--new-secret", "--config", nowhere)
    assert text == "--secret-stdin brings a secret and --new-secret makes one: give one of them"


def test_without_a_secret_it_is_said_what_that_means(config: Path, plant: Plant, storage_url: str) -> None:
    note, *_ = said("webhook", "add", URL, *READING, "--config", config).splitlines()
    webhook = only_webhook(storage_url)
    assert note.startswith("note: deliveries are not signed, so anybody could send the like; `")
    assert note.endswith(f" webhook rotate {webhook.public_id[:8]} --config {config}` gives a secret")
    assert webhook.secret is None


def test_a_rotated_secret_takes_over_from_the_old_one(configure: Configure, storage_url: str) -> None:
    config = configure(storage_url, "[webhooks]", "rotation_s = 60.0")
    done("migrate", "--config", config)
    add(config, URL, "--secret-stdin", stdin="first\n")
    before_us = time.time_ns() // 1000
    result = run("webhook", "rotate", "203", "--config", config)
    webhook = only_webhook(storage_url)
    assert result.stdout == f"{webhook.secret}\n"
    assert webhook.secrets(before_us) == (webhook.secret, "first")
    assert 60_000_000 <= webhook.old_secret_until_us - before_us < 90_000_000
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(webhook.old_secret_until_us / 1e6))
    assert result.stderr == (
        f"the old secret of {webhook.public_id[:8]} https://203.0.113.7:8443/… stays good until {until} UTC\n"
    )


def test_a_rotated_secret_that_was_brought_is_not_repeated(config: Path, plant: Plant, storage_url: str) -> None:
    add(config, URL, "--secret-stdin", stdin="first\n")
    assert done("webhook", "rotate", "203", "--secret-stdin", "--config", config, stdin="second\n") == ""
    assert only_webhook(storage_url).secret == "second"


def test_who_rotates_twice_is_warned_of_the_one_that_is_lost(config: Path, plant: Plant) -> None:
    add(config, URL, "--secret-stdin", stdin="first\n")
    done("webhook", "rotate", "203", "--config", config)
    *_, warning = said("webhook", "rotate", "203", "--config", config).splitlines()
    assert warning == "warning: the one before that was still good, and is no more"


def test_a_webhook_without_secret_can_be_given_one(config: Path, plant: Plant, storage_url: str) -> None:
    public_id = add(config)
    assert said("webhook", "rotate", "203", "--config", config) == (
        f"{public_id[:8]} https://203.0.113.7:8443/… had no secret; from now on its deliveries are signed\n"
    )
    assert only_webhook(storage_url).secrets(0) == (only_webhook(storage_url).secret,)


# -- addresses that nothing can be delivered to -------------------------------------------------------------------


class Resolver:
    """The system's, for names that tests know."""

    def __init__(self, **names: list[str] | OSError) -> None:
        self._names = names
        self._real = socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        found = self._names.get(host.decode().partition(".")[0]) if isinstance(host, bytes) else None
        if found is None:
            return self._real(host, port, *arguments, **options)
        if isinstance(found, OSError):
            raise found
        return [self._real(address, port, type=socket.SOCK_STREAM)[0] for address in found]


def warning(config: Path, url: str) -> str | None:
    """What is said of the address of a new webhook, which is added all the same."""
    result = run("webhook", "add", url, *READING, "--new-secret", "--config", config)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2
    return result.stderr.removeprefix("warning: nothing will arrive at ").removesuffix("\n") if result.stderr else None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://127.0.0.1:9/x", "http://127.0.0.1:9/…: 127.0.0.1 is not a public address (loopback), "),
        ("http://[fe80::1]/", "http://[fe80::1]: fe80::1 is not a public address (link-local), "),
        ("http://inside.example/", "http://inside.example: 192.168.7.3 is not a public address (private), "),
    ],
)
def test_an_address_that_is_refused_is_a_warning_that_names_the_setting(
    config: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch, url: str, text: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(inside=["192.168.7.3", "192.168.7.4"]))
    assert warning(config, url) == f"{text}and in no network of webhooks.allowed_networks"


@pytest.mark.parametrize("url", ["https://1.1.1.1/", "https://[2606:4700::1111]/", "https://both.example/"])
def test_a_public_address_among_them_is_enough(
    config: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(both=["192.168.7.3", "1.1.1.1"]))
    assert warning(config, url) is None


def test_an_address_in_an_allowed_network_is_no_warning(configure: Configure, storage_url: str) -> None:
    config = configure(storage_url, "[webhooks]", 'allowed_networks = ["127.0.0.0/8"]')
    done("migrate", "--config", config)
    assert warning(config, "http://127.0.0.1/") is None


def test_a_name_that_cannot_be_resolved_is_a_warning(
    config: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(nowhere=unknown))
    assert warning(config, "http://nowhere.example/") == "http://nowhere.example: name or service not known"


def test_a_resolver_that_says_nothing_is_not_waited_for(
    config: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = Resolver()
    over = False

    def wait(host: Any, *arguments: Any, **options: Any) -> Any:
        while isinstance(host, bytes) and not over:
            time.sleep(0.01)
        return silent(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    monkeypatch.setattr(receiver, "LOOK_UP_S", 0.1)
    try:
        text = warning(config, "http://silent.example/")
    finally:
        over = True
    assert text == "http://silent.example: no answer within 0.1 s to what address it has"


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a..b"])
def test_a_host_that_can_be_no_name_is_a_warning(config: Path, plant: Plant, host: str) -> None:
    text = warning(config, f"http://{host}/")
    assert text is not None
    assert text.startswith(f"http://{host}: ")


@pytest.mark.parametrize("url", ["http://203.0.113.7:99999/CANARY", "http://[CANARY"])
async def test_a_url_that_came_another_way_and_cannot_be_called_is_doubted(url: str) -> None:
    assert await receiver.doubt(url, WebhookSettings()) == "the URL cannot be called"


# -- what is there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "https://203.0.113.7:8443/…"),
        ("http://example.org", "http://example.org"),
        ("http://example.org/", "http://example.org"),
        ("http://example.org?CANARY", "http://example.org/…"),
        ("http://example.org/#CANARY", "http://example.org/…"),
        ("http://[::1]:80/CANARY", "http://[::1]:80/…"),
        ("http://[CANARY/", "…"),
        ("http://example.org:CANARY/", "…"),
        ("http:CANARY", "http:///…"),
    ],
)
def test_of_a_url_the_place_alone_is_shown(url: str, shown: str) -> None:
    assert short_url(url) == shown


async def deliver(
    storage: Storage, count: int, status: DeliveryStatus, *, webhook_id: int = 1, now_us: int = 0
) -> None:
    """Deliveries that have come to that."""
    made = [NewDelivery(f"{status}-{number}", webhook_id, "sensor.reading", "{}", now_us) for number in range(count)]
    await storage.write(deliveries.deliver(made))
    if status is DeliveryStatus.PENDING:
        return
    due = [one for one in await deliveries.due(storage, webhook_id, now_us, 100) if one.public_id.startswith(status)]
    await storage.write(deliveries.attempted([Outcome(one, status, None, 200, now_us, now_us) for one in due]))


def test_the_lines_of_a_list_have_columns_that_stay(config: Path, plant: Plant, storage_url: str) -> None:
    first = add(config, URL, "--event", "experiment_started", "--new-secret")
    second = add(config, "http://example.invalid/", "--disabled")

    async def work(storage: Storage) -> None:
        await deliver(storage, 2, DeliveryStatus.DELIVERED, now_us=1_500_000)
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
    assert [webhook.enabled for webhook in stored(storage_url)] == [False, True]
    said("webhook", "enable", webhook, "--config", config)
    assert [webhook.enabled for webhook in stored(storage_url)] == [True, True]


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
    assert stored(storage_url) == ()

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
    assert len(stored(storage_url)) == 2


# -- one attempt by hand ------------------------------------------------------------------------------------------


@dataclass
class Receiver:
    """Takes what comes and remembers it; `status` is what it answers."""

    status: int = 200
    address: str = ""
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): text for name, text in request.headers.items()}
        self.requests.append((headers, json.loads(await request.text())))
        return web.Response(status=self.status)


@asynccontextmanager
async def receiving(status: int = 200) -> AsyncIterator[Receiver]:
    """A receiver on a port of loopback."""
    made = Receiver(status)
    app = web.Application()
    app.router.add_post("/{path:.*}", made.handle)
    async with TestServer(app) as server:
        made.address = str(server.make_url("/CANARY-path"))
        yield made


@pytest.fixture
def open_config(configure: Configure, storage_url: str) -> Path:
    """A configuration that lets webhooks reach loopback, and an empty storage."""
    return configure(storage_url, "[webhooks]", 'allowed_networks = ["127.0.0.0/8"]')


async def beside(command: Callable[..., T], *arguments: str | Path, **options: str) -> T:
    """A command that runs while this loop goes on: it has one of its own, in another thread."""
    return await asyncio.to_thread(command, *arguments, **options)


async def added(storage: Storage, url: str, **more: Any) -> str:
    """The id of a new webhook."""
    return await webhooks.add_webhook(storage, url=url, now_us=1, **{"events": ["sensor.reading"], **more})


@pytest.mark.parametrize(
    ("events", "kind"), [(["experiment_started", "sensor.reading"], "experiment_started"), ([], "sensor.reading")]
)
async def test_a_test_is_one_message_that_says_it_is_one(
    storage: Storage, open_config: Path, events: list[str], kind: str
) -> None:
    async with receiving() as server:
        public_id = await added(storage, server.address, events=events, secret="CANARY-secret", enabled=False)
        before_us = time.time_ns() // 1000
        result = await beside(run, "webhook", "test", public_id[:8], "--config", open_config)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    place = server.address.removesuffix("/CANARY-path")
    assert re.fullmatch(rf"{public_id[:8]} {place}/… has taken it \(\d+ ms\): HTTP 200\n", result.stdout)
    ((headers, message),) = server.requests
    assert list(message) == ["type", "time", "sensor", "value", "test"]
    assert (message["type"], message["sensor"], message["value"], message["test"]) == (kind, "test", 0.0, True)
    assert abs(to_us(datetime.fromisoformat(message["time"])) - before_us) < DAY_US
    assert {"webhook-id", "webhook-signature", "x-webhook-signature"} <= headers.keys()
    assert await deliveries.deliveries(storage, 1, limit=1) == []


@pytest.mark.parametrize(
    ("status", "why"), [(500, "HTTP 500"), (302, "HTTP 302"), (None, "127.0.0.1 is not a public address (loopback)")]
)
async def test_a_test_that_fails_says_why(
    storage: Storage, configure: Configure, storage_url: str, status: int | None, why: str
) -> None:
    config = configure(storage_url, "[webhooks]", f"allowed_networks = {['127.0.0.0/8'] if status else []}")
    async with receiving(status or 200) as server:
        public_id = await added(storage, server.address)
        text = await beside(complaint, "webhook", "test", public_id, "--config", config)
    assert "/… has not taken it (" in text
    assert why in text
    assert len(server.requests) == (0 if status is None else 1)


# -- secrets stay where they are ----------------------------------------------------------------------------------


async def test_no_command_shows_a_secret_that_it_was_not_asked_for(storage: Storage, open_config: Path) -> None:
    """The commands that show one on purpose are not among them: `add --new-secret`, `rotate`, `list --urls`."""
    async with receiving(500) as server:
        url = server.address.replace("://", "://CANARY-user:CANARY-password@") + "?key=CANARY-query"
        commands: list[tuple[str, ...]] = [
            ("add", url, *READING, "--secret-stdin"),
            ("add", url, *READING, "--secret-stdin"),
            ("add", url.replace("http", "ftp"), *READING),
            ("add", url.replace("/CANARY", ":CANARY"), *READING),
            ("list",),
            ("test", url),
            ("test", "CANARY-query"),
            ("test", url + "CANARY-not-there"),
            ("deliveries", url),
            ("redeliver", "--dead", url),
            ("disable", url),
            ("enable", url),
            ("rotate", url, "--secret-stdin"),
            ("remove", url),
        ]
        outputs = [
            await beside(run, "webhook", *command, "--config", open_config, stdin="CANARY-secret\n")
            for command in commands
        ]
    assert [output.exit_code for output in outputs] == [0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert len(server.requests) == 2
    assert [output for output in outputs if "CANARY" in output.output] == []
