"""Secrets of webhooks: how they come, how they change, and that they stay where they are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cli.conftest import Configure
from tests.cli.hooks import READING, URL, add, only_webhook, receiving
from tests.cli.runner import beside, complaint, done, misuse, run, said
from tests.plant import Plant
from webmacs.storage.base import Storage

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


# -- secrets stay where they are ----------------------------------------------------------------------------------


async def test_no_command_shows_a_secret_that_it_was_not_asked_for(storage: Storage, open_config: Path) -> None:
    """The commands that show one on purpose are not among them: `add --new-secret`, `rotate`, `list --urls`."""
    async with receiving(500, 500) as server:
        url = server.url
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
    assert len(server.calls) == 2
    assert [output for output in outputs if "CANARY" in output.output] == []
