"""`webmacs webhook test`: one attempt by hand."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Configure
from tests.cli.hooks import receiving
from tests.cli.runner import beside, complaint, run
from webmacs.model import to_us
from webmacs.storage import deliveries, webhooks
from webmacs.storage.base import Storage

DAY_US = 86_400_000_000


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
        public_id = await added(storage, server.url, events=events, secret="CANARY-secret", enabled=False)
        before_us = time.time_ns() // 1000
        result = await beside(run, "webhook", "test", public_id[:8], "--config", open_config)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    place = rf"{public_id[:8]} http://127\.0\.0\.1:\d+/…"
    assert re.fullmatch(rf"{place} has taken it \(\d+ ms\): HTTP 200\n", result.stdout)
    ((headers, body),) = server.calls
    message = json.loads(body)
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
        public_id = await added(storage, server.url)
        text = await beside(complaint, "webhook", "test", public_id, "--config", config)
    assert "/… has not taken it (" in text
    assert why in text
    assert len(server.calls) == (0 if status is None else 1)
