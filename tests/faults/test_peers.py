"""Peers that are no use to anybody: browsers that stopped reading, clients that are gone without a word."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from tests.faults.browsers import Watching, crowd
from tests.faults.installation import Installation, installed
from tests.plant import furnished_server
from tests.promises import LONG, Figure
from tests.proxy import proxy_to
from tests.wire import STREAM, TELEMETRY, acknowledged
from webmacs.hub import CONTROLLER, FRONTEND
from webmacs.model import Role
from webmacs.tasks import end

EVENTS = 500
HZ = 60.0 if LONG else 20.0
SECONDS = 15.0 if LONG else 3.0
WATCHING, STUCK = (18, 2) if LONG else (4, 1)
AHEAD = 3  # rounds
CLIENT_DEADLINE_S = 1.0
SLACK_S = 5.0  # for a busy machine
MOST_GROWTH_MIB = 64.0

HEARTBEAT_S = 4.0 if LONG else 1.0
PEERS = 10 if LONG else 3


async def feed(site: Installation, rounds: int, watching: Sequence[Watching]) -> list[float]:
    """All events at a steady pace, each round acknowledged before the next; when each was sent.

    A round's number is the value of the first event, which is what browsers see first. None of those that read is left
    behind by more than a few rounds, however busy the machine is: what they lose then, they lose to the stuck.
    """
    first, *others = site.plant.linked
    rest = "".join(f',{{"value":0.5,"event_public_id":"{event}"}}' for event in others)
    url, token = f"{site.server.address}{TELEMETRY}", site.plant.tokens[Role.OPERATOR]
    sent: list[float] = []
    async with site.client.ws_connect(url, params={"token": token}) as link:
        for number in range(rounds):
            sent.append(time.perf_counter())
            items = f'{{"value":{number}.0,"event_public_id":"{first}"}}{rest}'
            await link.send_str(f'{{"datapoints":[{items}],"batch_id":"{number}"}}')
            assert (await link.receive_json(timeout=60))["accepted"] == EVENTS
            await asyncio.sleep(max(0.0, sent[0] + len(sent) / HZ - time.perf_counter()))
            while min(len(browser.seen) for browser in watching) < number - AHEAD:
                assert not any(browser.ended.is_set() for browser in watching)
                await asyncio.sleep(0.001)
    return sent


@pytest.mark.promise("F7", "P5")
async def test_a_browser_that_stopped_reading_is_cut_and_the_others_lose_nothing(
    tmp_path: Path, figure: Figure
) -> None:
    settings = {"SERVER__CLIENT_DEADLINE_S": str(CLIENT_DEADLINE_S), "STAGES__BROADCAST__INTERVAL_S": "0"}
    async with installed(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, settings, events=EVENTS) as site:
        token, rounds = site.plant.tokens[Role.VIEWER], int(HZ * SECONDS)
        async with crowd(site.server.address, token, watching=WATCHING, stuck=STUCK) as browsers:
            before_mib, began = site.server.memory_mib(), time.monotonic()
            cutting = [asyncio.create_task(browser.until_cut()) for browser in browsers.stuck]
            sent = await feed(site, rounds, browsers.watching)
            took_s = time.perf_counter() - sent[0]
            cut_s = [await cut - began for cut in cutting]
            for browser in browsers.watching:
                await browser.until_it_sees(rounds - 1.0)
            grown_mib = site.server.memory_mib() - before_mib
        delays_ms = [(seen - sent[int(value)]) * 1000 for browser in browsers.watching for value, seen in browser.seen]
        rate = browsers.watching[0].received / took_s / 1e6
        figure(
            f"sqlite: {STUCK} of {WATCHING + STUCK} stuck at {rate:.1f} MB/s, cut after {max(cut_s):.1f} s (allowed:"
            f" {CLIENT_DEADLINE_S:g} s of taking nothing); {WATCHING} healthy saw all {rounds:,} rounds in order, p99"
            f" {statistics.quantiles(delays_ms, n=100)[98]:.0f} ms; memory {grown_mib:+.0f} MiB"
        )
        assert [browser.values for browser in browsers.watching] == [list(map(float, range(rounds)))] * WATCHING
        assert max(cut_s) < SECONDS + SLACK_S
        assert grown_mib < MOST_GROWTH_MIB


async def listen(peer: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in peer:
        pass


@pytest.mark.promise("F8")
@pytest.mark.parametrize(("path", "group"), [(STREAM, FRONTEND), (TELEMETRY, CONTROLLER)])
async def test_a_peer_that_is_gone_without_a_word_is_found_by_the_heartbeat_and_its_place_is_free(
    tmp_path: Path, figure: Figure, path: str, group: str
) -> None:
    limits = {"heartbeat_s": HEARTBEAT_S, "max_connections_per_user": PEERS}
    async with (
        furnished_server(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, server=limits) as server,
        proxy_to(int(server.address.rpartition(":")[2])) as proxy,
    ):
        hub, params = server.parts.hub, {"token": server.plant.tokens[Role.OPERATOR]}
        url = f"http://127.0.0.1:{proxy.port}{path}"
        peers = [await server.client.ws_connect(url, params=params) for _ in range(PEERS)]
        witness = await server.stream(Role.VIEWER)
        listening = [asyncio.create_task(listen(peer)) for peer in (witness, *peers)]  # which answers pings, too
        await asyncio.sleep(2 * HEARTBEAT_S)
        assert hub.size(group) == PEERS + (group == FRONTEND)
        proxy.stall()
        began = time.monotonic()
        found_s: list[float] = []
        async with asyncio.timeout(10 * HEARTBEAT_S + SLACK_S):
            while len(found_s) < PEERS:
                await asyncio.sleep(0.01)
                left = hub.size(group) - (group == FRONTEND)
                found_s += [time.monotonic() - began] * (PEERS - left - len(found_s))
        figure(
            f"{PEERS} of the group {group}, heartbeat {HEARTBEAT_S:g} s: the last was found after"
            f" {max(found_s):.2f} s, {max(found_s) / HEARTBEAT_S:.2f} of it; their places are free by then"
        )
        assert max(found_s) <= 1.5 * HEARTBEAT_S + SLACK_S
        controller = await server.telemetry()  # of the same user, who had no place left
        assert (await acknowledged(controller, {"datapoints": [server.reading()], "batch_id": "1"}))["accepted"] == 1
        assert not listening[0].done()
        await end(*listening)
