"""`webmacs doctor`: what it finds, what it advises, and that it touches nothing."""

from __future__ import annotations

import shutil
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from tests.cli.conftest import Certificate, Configure, files_in
from tests.cli.process import ended
from tests.plant import SECRET, Server, furnish, settings_for
from webmacs import __version__
from webmacs.cli import checks, main
from webmacs.cli.certificate import valid_until
from webmacs.cli.checks import Grade
from webmacs.cli.doctor import examine, secrets_of
from webmacs.cli.serve import tls_context
from webmacs.clock import SystemClock
from webmacs.config import Settings
from webmacs.model import Action, DeliveryStatus, NewDelivery, Operator, Role, WebhookEvent
from webmacs.storage import accounts, deliveries, migrate, rules, webhooks
from webmacs.storage.base import Storage

DAY_S = 86_400


class At:
    """A clock that stands, so many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._now_us = time.time_ns() // 1000 + int(seconds * 1e6)

    def now_us(self) -> int:
        return self._now_us

    def monotonic(self) -> float:
        return 0.0


class Disk(NamedTuple):
    free: int


async def report(config: Path, clock: At | SystemClock | None = None) -> dict[str, tuple[Grade, str]]:
    """Grade and text with advice, by subject."""
    return {
        finding.subject: (finding.grade, f"{finding.text}; {finding.mend}")
        async for finding in examine(config, clock or SystemClock())
    }


async def furnished(storage: Storage) -> None:
    """An administrator, which is all that a healthy installation must have."""
    await accounts.add_user(
        storage, email="boss@example.org", username="boss", password_hash="x", role=Role.ADMIN, now_us=1
    )


async def test_a_healthy_installation_is_well(config: Path, storage: Storage, tmp_path: Path) -> None:
    await furnished(storage)
    result = await ended("doctor", "--config", config, cwd=tmp_path)
    assert (result.code, result.err) == (0, "")
    subjects = {line.split()[0] for line in result.out.splitlines()}
    assert subjects == {"ok"}
    assert "administrator boss@example.org" in result.out
    assert "\x1b" not in result.out


async def test_a_running_server_is_recognised(server: Server, configure: Configure) -> None:
    port = int(server.address.rpartition(":")[2])
    found = await report(configure(server.settings.storage.url, port=port))
    assert found["port"][0] is Grade.OK
    assert "runs here and is ok" in found["port"][1]


async def test_a_free_port_is_well(configure: Configure, port: int) -> None:
    grade, text = (await report(configure("sqlite:///test.db", port=port)))["port"]
    assert (grade, text) == (Grade.OK, f"127.0.0.1:{port} is free; no server runs; ")


@pytest.mark.parametrize(
    ("trusted", "grade", "said"),
    [
        (["127.0.0.1", "10.0.0.0/8", "fd00::/8", "203.0.113.0/24", "2001:db8::/32"], Grade.OK, "203.0.113.0/24"),
        (["127.0.0.1", "0.0.0.0/0"], Grade.FAIL, "0.0.0.0/0 is trusted"),
        (["::/0", "128.0.0.0/1"], Grade.FAIL, "::/0, 128.0.0.0/1 is trusted"),
        (["203.0.0.0/15"], Grade.FAIL, "any other client"),
    ],
)
def test_proxies_that_may_be_anybody_fail(trusted: list[str], grade: Grade, said: str) -> None:
    finding = checks.proxies(Settings.model_validate({"server": {"trusted_proxies": trusted}}))
    assert finding.grade is grade
    assert said in finding.text


async def test_proxies_are_examined_where_there_are_any(tmp_path: Path) -> None:
    file = tmp_path / "webmacs.toml"
    file.write_text('[server]\ntrusted_proxies = ["0.0.0.0/0"]\n', encoding="utf-8")
    assert (await report(file))["proxies"][0] is Grade.FAIL
    file.write_text("", encoding="utf-8")
    assert "proxies" not in await report(file)


async def test_another_program_on_the_port_fails(configure: Configure, port: int) -> None:
    async with TestServer(web.Application(), port=port):
        grade, text = (await report(configure("sqlite:///test.db", port=port)))["port"]
    assert grade is Grade.FAIL
    assert text == f"127.0.0.1:{port}: address already in use; stop what is there, or set server.port"


@pytest.mark.parametrize(
    ("health", "advice"),
    [
        ({"status": "ok", "version": "0.0.1", "database": "ok"}, "restart it"),
        ({"status": "degraded", "version": None, "database": "error"}, "its log says why"),
    ],
)
async def test_a_server_that_is_old_or_unwell_is_a_warning(
    configure: Configure, port: int, health: dict[str, str | None], advice: str
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({**health, "version": health["version"] or __version__})

    app = web.Application()
    app.router.add_get("/health", answer)
    async with TestServer(app, port=port):
        grade, text = (await report(configure("sqlite:///test.db", port=port)))["port"]
    assert grade is Grade.WARN
    assert advice in text


async def test_an_address_that_is_not_ours_fails(configure: Configure, port: int) -> None:
    config = configure("sqlite:///test.db", port=port)
    config.write_text(config.read_text("utf-8").replace("[server]", '[server]\nhost = "192.0.2.1"'), "utf-8")
    assert (await report(config))["port"][0] is Grade.FAIL


async def test_what_does_not_exist_yet_is_no_failure_and_is_not_made(configure: Configure, tmp_path: Path) -> None:
    config = tmp_path / "webmacs.toml"
    config.write_text("[server]\nport = 0\n")
    found = await report(config)
    assert found["storage"][0] is Grade.WARN
    assert "the first start makes it" in found["secret key"][1]
    assert Grade.FAIL not in {grade for grade, _ in found.values()}
    assert files_in(tmp_path) == ["webmacs.toml"]


def test_without_a_file_the_defaults_are_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEBMACS_SERVER__PORT", "0")
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert "no file, all defaults" in result.output


@pytest.mark.parametrize(
    "line", ["[logging]\nlevle = 1", "[pipeline]\nstages = ['validate']", "[stages.nosuch]\ninterval_s = 1"]
)
def test_a_configuration_that_cannot_be_used_is_the_only_finding(configure: Configure, line: str) -> None:
    result = CliRunner().invoke(main, ["doctor", "--config", str(configure("sqlite:///test.db", line))])
    assert result.exit_code == 1
    (only,) = result.stdout.splitlines()
    assert only.startswith("FAIL configuration")


# -- keys and secrets ---------------------------------------------------------------------------------------------


async def test_a_configuration_with_secrets_that_all_may_read_is_a_warning(configure: Configure) -> None:
    config = configure("sqlite:///test.db")
    config.chmod(0o644)
    found = await report(config)
    assert found["configuration"] == (Grade.WARN, f"all may read the secrets in {config}; chmod o-rwx {config}")


async def test_a_key_file_that_all_may_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "my.key").write_text(SECRET)
    (tmp_path / "my.key").chmod(0o644)
    config = tmp_path / "webmacs.toml"
    config.write_text('[server]\nport = 0\n[auth]\nsecret_key_file = "my.key"\n')
    assert (await report(config))["secret key"][0] is Grade.WARN
    (tmp_path / "my.key").chmod(0o600)
    assert (await report(config))["secret key"][0] is Grade.OK


async def test_the_key_that_the_first_start_made_is_well(tmp_path: Path) -> None:
    (tmp_path / "webmacs.key").write_text(SECRET)
    (tmp_path / "webmacs.key").chmod(0o600)
    config = tmp_path / "webmacs.toml"
    config.write_text("[server]\nport = 0\n")
    assert (await report(config))["secret key"] == (Grade.OK, f"{tmp_path / 'webmacs.key'}; ")


async def test_a_key_that_is_too_short_fails(tmp_path: Path) -> None:
    (tmp_path / "my.key").write_text("short")
    config = tmp_path / "webmacs.toml"
    config.write_text('[server]\nport = 0\n[auth]\nsecret_key_file = "my.key"\n')
    grade, text = (await report(config))["secret key"]
    assert grade is Grade.FAIL
    assert "fewer than 32 bytes" in text


async def test_a_key_that_has_to_be_given_and_is_not_fails(tmp_path: Path, port: int) -> None:
    config = tmp_path / "webmacs.toml"
    config.write_text(f'[server]\nport = 0\n[storage]\nurl = "postgresql://127.0.0.1:{port}/none"\n')
    grade, text = (await report(config))["secret key"]
    assert grade is Grade.FAIL
    assert "must be given" in text


async def test_no_secret_is_ever_printed(configure: Configure, tmp_path: Path, port: int) -> None:
    config = configure(f"postgresql://me:pa%24%24word-{port}@127.0.0.1:{port}/macs?password=another-{port}")
    result = await ended("doctor", "--config", config, cwd=tmp_path)
    assert result.code == 1
    for secret in (SECRET, f"pa$$word-{port}", f"pa%24%24word-{port}", f"another-{port}"):
        assert secret not in result.out + result.err


def test_everything_secret_is_known() -> None:
    settings = Settings.model_validate(
        {"auth": {"secret_key": SECRET}, "storage": {"url": "postgresql://me:p%41ss@h/db?password=other"}}
    )
    assert set(secrets_of(settings)) == {SECRET, "p%41ss", "pAss", "other"}


# -- the storage --------------------------------------------------------------------------------------------------


async def test_a_database_that_cannot_be_reached_fails(configure: Configure, port: int) -> None:
    grade, text = (await report(configure(f"postgresql://127.0.0.1:{port}/none")))["storage"]
    assert grade is Grade.FAIL
    assert text.startswith(f"cannot reach postgresql://127.0.0.1:{port}/none: ")
    assert text.endswith("start it, or correct storage.url")


async def test_an_installation_without_administrator_fails(config: Path, storage: Storage) -> None:
    grade, text = (await report(config))["accounts"]
    assert grade is Grade.FAIL
    assert "user add EMAIL --role admin" in text


@pytest.mark.parametrize(("migrates", "grade"), [("true", Grade.WARN), ("false", Grade.FAIL)])
async def test_a_schema_that_is_missing_says_how_to_get_it(
    configure: Configure, postgres_url: str, migrates: str, grade: Grade
) -> None:
    found = await report(configure(postgres_url, f"migrate = {migrates}"))
    assert found["schema"][0] is grade
    assert "migrate`" in found["schema"][1]
    assert "accounts" not in found


async def test_a_schema_from_the_future_fails(config: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "head", lambda: "0000")
    grade, text = (await report(config))["schema"]
    assert grade is Grade.FAIL
    assert "newer than 0000" in text


async def test_a_storage_that_fails_on_the_way_is_reported(tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "test.db").write_bytes(b"this is no database, but long enough to be taken for one" * 100)
    found = await report(configure("sqlite:///test.db"))
    assert found["storage"][0] is Grade.FAIL


@pytest.mark.parametrize(("ahead_s", "grade"), [(0, Grade.OK), (30, Grade.WARN), (-3600, Grade.FAIL)])
async def test_the_databases_clock_is_compared_with_ours(
    configure: Configure, postgres_url: str, ahead_s: int, grade: Grade
) -> None:
    found = await report(configure(postgres_url), At(ahead_s))
    assert found["clocks"][0] is grade


@pytest.mark.parametrize(("ahead_s", "grade"), [(0, Grade.OK), (-56 * 365 * DAY_S, Grade.FAIL)])
async def test_a_clock_that_cannot_be_right_fails(configure: Configure, ahead_s: int, grade: Grade) -> None:
    assert (await report(configure("sqlite:///test.db"), At(ahead_s)))["clock"][0] is grade


# -- rules and webhooks -------------------------------------------------------------------------------------------

LOOPBACK = ("[webhooks]", 'allowed_networks = ["127.0.0.0/8"]')
RECEIVER = "http://127.0.0.1:9/CANARY"


async def findings(config: Path, subject: str) -> list[tuple[Grade, str]]:
    """All findings on one subject, each with its advice."""
    found = [finding async for finding in examine(config, SystemClock()) if finding.subject == subject]
    return [(finding.grade, f"{finding.text}; {finding.mend}") for finding in found]


async def rule(storage: Storage, event: str, name: str = "Hot", **more: Any) -> None:
    await rules.add_rule(
        storage,
        **{"name": name, "event": event, "operator": Operator.GT, "threshold": 5.0, "action": Action.LOG, **more},
        now_us=1,
    )


async def test_rules_that_are_heard_are_counted(config: Path, storage: Storage) -> None:
    plant = await furnish(storage)
    await rule(storage, plant.linked[0])
    assert await findings(config, "rules") == [(Grade.OK, "1; ")]
    await rule(storage, plant.unlinked, "Off", action=Action.WEBHOOK, enabled=False)
    assert await findings(config, "rules") == [(Grade.OK, "2, 1 switched off; ")]


async def test_a_rule_on_what_is_not_stored_is_a_warning(config: Path, storage: Storage) -> None:
    plant = await furnish(storage)
    await rule(storage, plant.unlinked)
    _, (grade, text) = await findings(config, "rules")
    assert grade is Grade.WARN
    assert text == "'Hot' watches Spare, of which nothing is stored; link it to a channel of an enabled plugin instance"


async def test_a_rule_that_tells_nobody_is_a_warning(configure: Configure, storage_url: str, storage: Storage) -> None:
    config = configure(storage_url, *LOOPBACK)
    plant = await furnish(storage)
    await rule(storage, plant.linked[0], action=Action.WEBHOOK, emits=WebhookEvent.READING)
    await webhooks.add_webhook(storage, url=RECEIVER, events=["sensor_reading"], enabled=False, now_us=1)
    _, (grade, text) = await findings(config, "rules")
    assert grade is Grade.WARN
    assert text.startswith("'Hot' tells nobody: no webhook that is switched on wants to hear of sensor.reading; ")
    (webhook,) = await webhooks.webhooks(storage)
    await webhooks.enable_webhook(storage, webhook.public_id, enabled=True)
    assert await findings(config, "rules") == [(Grade.OK, "1; ")]


async def test_webhooks_that_may_be_reached_are_well(configure: Configure, storage_url: str, storage: Storage) -> None:
    config = configure(storage_url, *LOOPBACK)
    await webhooks.add_webhook(storage, url=RECEIVER, events=["sensor.reading"], now_us=1)
    await storage.write(deliveries.deliver([NewDelivery("waits", 1, "sensor.reading", "{}", 1)]))
    assert await findings(config, "webhooks") == [(Grade.OK, "1; ")]


async def test_a_webhook_whose_address_is_refused_is_a_warning(config: Path, storage: Storage) -> None:
    public_id = await webhooks.add_webhook(storage, url=RECEIVER, events=["sensor.reading"], now_us=1)
    _, (grade, text) = await findings(config, "webhooks")
    assert grade is Grade.WARN
    assert text == (
        f"nothing arrives at {public_id[:8]} http://127.0.0.1:9/…: 127.0.0.1 is not a public address (loopback), and in"
        " no network of webhooks.allowed_networks; correct it, or remove the webhook"
    )


async def test_a_webhook_that_is_switched_off_is_a_warning(config: Path, storage: Storage) -> None:
    public_id = await webhooks.add_webhook(storage, url=RECEIVER, events=["sensor.reading"], enabled=False, now_us=1)
    _, (grade, text) = await findings(config, "webhooks")
    assert grade is Grade.WARN
    assert text.startswith(f"{public_id[:8]} http://127.0.0.1:9/… is switched off; `")
    assert text.endswith(f" webhook enable {public_id[:8]} --config {config}` switches it on")


async def test_deliveries_that_were_given_up_are_a_warning(
    configure: Configure, storage_url: str, storage: Storage
) -> None:
    config = configure(storage_url, *LOOPBACK)
    public_id = await webhooks.add_webhook(storage, url=RECEIVER, events=["sensor.reading"], now_us=1)
    made = [NewDelivery(str(number), 1, "sensor.reading", "{}", 1) for number in range(2)]
    await storage.write(deliveries.deliver(made))
    dead, alive = await deliveries.due(storage, 1, 1, 2)
    await storage.write(
        deliveries.attempted(
            [
                deliveries.Outcome(dead, DeliveryStatus.DEAD_LETTER, "HTTP 500", 500, 1, 1),
                deliveries.Outcome(alive, DeliveryStatus.DELIVERED, None, 200, 1, 1),
            ]
        )
    )
    _, (grade, text) = await findings(config, "webhooks")
    assert grade is Grade.WARN
    assert text.startswith(f"1 delivery to {public_id[:8]} http://127.0.0.1:9/… given up; `")
    assert f" webhook deliveries {public_id[:8]} --status dead_letter --config " in text


async def test_the_report_has_nothing_of_a_url_that_may_be_secret(
    config: Path, storage: Storage, tmp_path: Path
) -> None:
    url = "http://CANARY-user:CANARY-password@127.0.0.1:9/CANARY?CANARY"
    await webhooks.add_webhook(storage, url=url, events=["sensor.reading"], secret="CANARY", now_us=1)
    result = await ended("doctor", "--config", config, cwd=tmp_path)
    assert "http://127.0.0.1:9/…" in result.out
    assert "CANARY" not in result.out + result.err


# -- the disk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "grade"), [(10_000_000, Grade.FAIL), (500_000_000, Grade.WARN), (5_000_000_000, Grade.OK)]
)
def test_room_on_the_disk_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, grade: Grade) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Disk(free))
    assert checks.disk(tmp_path / "test.db").grade is grade


def test_a_directory_that_is_not_there_fails(tmp_path: Path) -> None:
    finding = checks.disk(tmp_path / "nowhere" / "test.db")
    assert finding.grade is Grade.FAIL
    assert "make it" in finding.mend


@pytest.mark.parametrize("closed", ["directory", "file"])
def test_what_cannot_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    """By the answer of the system: to the superuser everything is open."""
    file = tmp_path / "test.db"
    file.touch()
    target = tmp_path if closed == "directory" else file
    monkeypatch.setattr("os.access", lambda path, _mode: path != target)
    finding = checks.disk(file)
    assert finding.grade is Grade.FAIL
    assert finding.text == f"{target} cannot be written"


# -- the certificate ----------------------------------------------------------------------------------------------


def with_tls(configure: Configure, made: Certificate) -> Path:
    config = configure("sqlite:///test.db")
    lines = f'[server]\ntls_cert = "{made.certificate}"\ntls_key = "{made.key}"'
    config.write_text(config.read_text("utf-8").replace("[server]", lines), "utf-8")
    return config


@pytest.mark.parametrize(
    ("later_s", "grade", "text"),
    [(0, Grade.OK, "is good until"), (80 * DAY_S, Grade.WARN, "renew it soon")],
)
async def test_a_certificate_is_judged_by_its_end(
    configure: Configure,
    make_certificate: Callable[[int], Certificate],
    later_s: int,
    grade: Grade,
    text: str,
) -> None:
    found = await report(with_tls(configure, make_certificate(90)), At(later_s))
    assert found["certificate"][0] is grade
    assert text in found["certificate"][1]


async def test_a_certificate_that_has_expired_fails(
    configure: Configure, make_certificate: Callable[[int], Certificate]
) -> None:
    found = await report(with_tls(configure, make_certificate(-1)))
    assert found["certificate"][0] is Grade.FAIL
    assert "has expired" in found["certificate"][1]


async def test_a_key_of_another_certificate_fails(
    configure: Configure, make_certificate: Callable[[int], Certificate], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.pem"
    shutil.copy(make_certificate(90).certificate, kept)
    found = await report(with_tls(configure, Certificate(kept, make_certificate(90).key)))
    assert found["certificate"][0] is Grade.FAIL
    assert "belong together" in found["certificate"][1]


def test_a_certificate_that_is_not_the_one_of_the_file_is_an_error(
    tmp_path: Path, make_certificate: Callable[[int], Certificate]
) -> None:
    made = make_certificate(10)
    settings = settings_for("sqlite:///test.db", tmp_path, server={"tls_cert": made.certificate, "tls_key": made.key})
    context = tls_context(settings)
    assert context is not None
    with pytest.raises(ssl.SSLCertVerificationError):
        valid_until(context, make_certificate(10).certificate)


def test_the_end_of_a_certificate_is_found(tmp_path: Path, make_certificate: Callable[[int], Certificate]) -> None:
    made = make_certificate(10)
    context = tls_context(
        settings_for("sqlite:///test.db", tmp_path, server={"tls_cert": made.certificate, "tls_key": made.key})
    )
    assert context is not None
    ends = valid_until(context, made.certificate)
    assert ends is not None
    assert abs(ends - (time.time() + 10 * DAY_S)) < 60


async def test_a_server_with_its_own_certificate_is_recognised(
    configure: Configure, make_certificate: Callable[[int], Certificate], port: int
) -> None:
    made = make_certificate(90)
    config = with_tls(configure, made)
    config.write_text(config.read_text("utf-8").replace("port = 0", f"port = {port}"), "utf-8")

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "version": "0", "database": "ok"})

    app = web.Application()
    app.router.add_get("/health", answer)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.certificate, made.key)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        assert "webmacs 0 runs here" in (await report(config))["port"][1]
    finally:
        await runner.cleanup()
