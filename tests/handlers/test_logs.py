"""What is said on standard error: a line a record, whatever is in it, and whose request it was."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest

from tests.handlers.conftest import Serve
from tests.handlers.rest import API, RULES, made, posted
from tests.plant import settings_for
from tests.rawsocket import exchange
from tests.wire import acknowledged, call
from webmacs.cli.serve import running
from webmacs.logs import JsonFormatter, TextFormatter

FORGED = "x\r\n2026-01-01 00:00:00,000 INFO    webmacs: user root logged in\x1b[2J\x1b]0;owned\x07\u2028\x85\x9b31m"


@pytest.mark.promise("S10")
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_record_is_more_than_its_line_and_none_gives_orders_to_a_terminal(form: str) -> None:
    formatter = TextFormatter() if form == "text" else JsonFormatter()
    record = logging.LogRecord("webmacs", logging.INFO, "", 0, "event %s", (FORGED,), None)
    line = formatter.format(record)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\x9b" not in line
    assert "user root logged in" in line  # it is not hidden that somebody tried


@pytest.mark.promise("S10")
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_of_a_trace_can_be_taken_for_a_record(form: str) -> None:
    formatter = TextFormatter() if form == "text" else JsonFormatter()
    try:
        int(FORGED)
    except ValueError:
        record = logging.LogRecord("webmacs", logging.ERROR, "", 0, "failed", (), sys.exc_info())
        record.exc_info = (ValueError, ValueError(FORGED), record.exc_info[2] if record.exc_info else None)
    first, *others = formatter.format(record).split("\n")
    assert all(line.startswith("  ") for line in others)
    assert "\x1b" not in "".join((first, *others))


@pytest.mark.promise("S10")
async def test_what_clients_say_is_no_line_of_its_own_in_the_log(serve: Serve) -> None:
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    handler.setFormatter(TextFormatter())
    logger = logging.getLogger("webmacs")
    logger.addHandler(handler)
    try:
        server = await serve(auth={"free_failures": 1})
        socket = await server.telemetry()
        item = {"value": 1.0, "event_public_id": "forged\u202e\u2066 INFO"}
        await acknowledged(socket, {"datapoints": [item], "batch_id": "one"})
        for _ in range(3):
            await call(server, "POST", f"{API}/auth/login", json={"email": FORGED, "password": FORGED})
        await made(server, RULES, name=FORGED[:200], action_type="log", threshold=-1)
        await posted(server, 5.0)
    finally:
        logger.removeHandler(handler)
    said = heard.getvalue()
    assert "are dropped" in said
    assert "failed logins" in said
    for line in said.splitlines():
        assert line.isprintable(), line
        assert "INFO    webmacs: user root" not in line or line.startswith("20")
    assert "forged\\u202e" in said


# -- whose request it was --------------------------------------------------------------------------------------------

HEALTH = "GET /health HTTP/1.1\r\nHost: a\r\n"
SAID = {
    "a client behind a proxy": (f"{HEALTH}X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n\r\n", "198.51.100.7"),
    "a whole address": (f"{HEALTH}X-Forwarded-For: 2001:db8::1234:5678\r\n\r\n", "2001:db8::1234:5678"),
    "a line break": (f"{HEALTH}X-Forwarded-For: 198.51.100.7%0aFORGED\r\n\r\n", "127.0.0.1"),
    "nothing": (f"{HEALTH}\r\n", "127.0.0.1"),
    "no HTTP": ("nonsense\r\n\r\n", "127.0.0.1"),
}


@pytest.mark.promise("S9")
@pytest.mark.parametrize(("request_", "client"), SAID.values(), ids=SAID.keys())
@pytest.mark.parametrize("trusted", [True, False])
async def test_the_access_log_names_the_client_as_a_trusted_proxy_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request_: str, client: str, trusted: bool
) -> None:
    proxies = {"trusted_proxies": ["127.0.0.0/8"] if trusted else []}
    settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, server=proxies)
    with caplog.at_level(logging.INFO, "aiohttp.access"):
        async with running(settings) as address:
            await exchange(address, request_.encode())
    (said,) = [record.getMessage() for record in caplog.records if record.name == "aiohttp.access"]
    assert said.partition(" ")[0] == (client if trusted else "127.0.0.1")
