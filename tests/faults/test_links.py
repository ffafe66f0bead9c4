"""The link between a controller and the server is bad: it stalls, is cut in the middle of a frame, or trickles.

What was acknowledged is stored once, what was not is sent again; a controller on a good link does not notice.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.installation import Installation, installed
from tests.faults.ledger import Ledger
from tests.faults.senders import Careful, sending
from tests.promises import LONG, Figure
from tests.proxy import Proxy, proxy_to
from tests.rawsocket import TEXT, RawSocket, frame
from tests.wire import STREAM, TELEMETRY
from webmacs.model import Role

ROUNDS = 20 if LONG else 2
SENDERS = 3
HEARTBEAT_S = 1.0
SLACK_S = 10.0  # for a busy machine
IDLE_S = 1.0
TEXT_FRAME = b"\x81"  # which is how one begins; the rest of what a client sends is masked
SHORTEST = 100  # bytes of a batch of one reading, and a few less
TRICKLE_S = 0.02  # between two bytes
SETTINGS = {"SERVER__HEARTBEAT_S": str(HEARTBEAT_S), "SERVER__IDLE_TIMEOUT_S": str(IDLE_S)}


@dataclass
class Links:
    """Controllers whose links go through a proxy, and one with a link of its own; each has its ledger."""

    site: Installation
    proxy: Proxy
    bad: Ledger
    good: Ledger
    senders: list[Careful]
    witness: Careful

    async def until_more_is_acknowledged(self, ledger: Ledger) -> float:
        """Seconds from now to the next acknowledgement that was asked for from now on."""
        began = time.monotonic()
        return await ledger.acknowledged_after(began) - began


@asynccontextmanager
async def links(url: str, directory: Path) -> AsyncIterator[Links]:
    """All of them send."""
    async with (
        installed(url, directory, SETTINGS) as site,
        proxy_to(site.server.port) as proxy,
    ):
        bad, good = Ledger(), Ledger(issued=10_000_000)
        senders = [Careful(bad, site.plant, random.Random(number)) for number in range(SENDERS)]
        witness = Careful(good, site.plant, random.Random(99))
        async with (
            sending(f"http://127.0.0.1:{proxy.port}", *senders),
            sending(site.server.address, witness),
        ):
            yield Links(site, proxy, bad, good, senders, witness)


async def checked(found: Links) -> str:
    """Nothing lost, nothing twice, and the good link was never interrupted; when all have come to their end."""
    stored = [value for (value,) in await found.site.storage.fetch("SELECT value FROM datapoints")]
    acknowledged = [value for ledger in (found.bad, found.good) for batch in ledger.acknowledged for value in batch]
    lost, twice = set(acknowledged) - set(stored), len(stored) - len(set(stored))
    assert (lost, twice) == (set(), 0)
    assert set(stored) == {float(value) for value in acknowledged}  # each was sent until it was acknowledged
    assert found.witness.connections == 1
    return f"{len(acknowledged):,} acknowledged readings; lost 0, stored twice 0"


@pytest.mark.promise("F15", "P2")
async def test_a_link_that_is_cut_in_the_middle_of_a_frame_again_and_again(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    chance = random.Random(1)
    async with links(storage_url, tmp_path) as found:
        for _ in range(ROUNDS * SENDERS):
            fault = found.proxy.cut_behind(TEXT_FRAME, chance.randint(0, SHORTEST))
            await asyncio.wait_for(fault.met.wait(), 60)
            await found.until_more_is_acknowledged(found.good)
        for sender in (*found.senders, found.witness):
            sender.stopped = True
        await until_done(found)
        said = await checked(found)
        cuts = sum(sender.connections for sender in found.senders) - SENDERS
    figure(f"{found.site.storage.scheme}: {cuts} connections cut within a frame; {said}")
    assert cuts >= ROUNDS * SENDERS


@pytest.mark.promise("F15", "F8")
async def test_a_link_that_stalls_holds_up_nobody_else_and_goes_on_where_it_was(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    async with links(storage_url, tmp_path) as found:
        longest_s = 0.0
        await found.until_more_is_acknowledged(found.bad)
        for number in range(ROUNDS):
            found.proxy.stall()
            until = time.monotonic() + (0.5 if number % 2 else 3) * HEARTBEAT_S  # found by the heartbeat, or not
            while time.monotonic() < until:
                longest_s = max(longest_s, await found.until_more_is_acknowledged(found.good))
            found.proxy.resume()
            await found.until_more_is_acknowledged(found.bad)
        for sender in (*found.senders, found.witness):
            sender.stopped = True
        await until_done(found)
        said = await checked(found)
    figure(
        f"{found.site.storage.scheme}: {ROUNDS} stalls of {SENDERS} links, of {0.5 * HEARTBEAT_S:g} or"
        f" {3 * HEARTBEAT_S:g} s; {said}; the other controller waited {longest_s * 1000:.0f} ms at the longest"
    )
    assert longest_s < SLACK_S


async def until_done(found: Links) -> None:
    async with asyncio.timeout(60):
        while not all(sender.done for sender in (*found.senders, found.witness)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.promise("F15")
async def test_a_link_that_trickles_is_patience_for_one_and_nothing_to_the_others(
    tmp_path: Path, figure: Figure
) -> None:
    async with installed(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, SETTINGS) as site:
        ledger = Ledger(issued=1)
        witness = Careful(ledger, site.plant, random.Random(1))
        token, event = site.plant.tokens[Role.OPERATOR], site.plant.linked[0]
        message = f'{{"datapoints":[{{"value":0.5,"event_public_id":"{event}"}}],"batch_id":"slow"}}'
        async with (
            sending(site.server.address, witness),
            await RawSocket.open(site.server.address, TELEMETRY, token) as slow,
        ):
            began, longest_s = time.monotonic(), 0.0
            for byte in frame(TEXT, message.encode()):
                slow.write(bytes((byte,)))
                await slow.drain()
                asked = time.monotonic()
                await asyncio.sleep(TRICKLE_S)
                longest_s = max(longest_s, await ledger.acknowledged_after(asked) - asked)
            answer = await slow.message()
            took_s = time.monotonic() - began
        assert (answer["type"], answer["batch_id"], answer["accepted"]) == ("ack", "slow", 1)
        balance = await ledger.balance(site.storage)
        assert (balance.lost, balance.twice, balance.strangers) == (0, 0, 1)
        assert witness.connections == 1
        assert longest_s < SLACK_S
    figure(
        f"a batch that came byte by byte in {took_s:.1f} s is acknowledged; the other controller waited"
        f" {longest_s * 1000:.0f} ms at the longest for its own"
    )


@pytest.mark.promise("F15", "S6")
@pytest.mark.parametrize("path", [TELEMETRY, STREAM])
async def test_one_who_trickles_the_upgrade_for_ever_is_ended_by_the_deadline_and_costs_no_place(
    tmp_path: Path, figure: Figure, path: str
) -> None:
    async with installed(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, SETTINGS) as site:
        ledger = Ledger()
        witness = Careful(ledger, site.plant, random.Random(1))
        async with sending(site.server.address, witness):
            ended = await asyncio.gather(*(trickled(site, path) for _ in range(20)))
        assert (await ledger.balance(site.storage)).even
        assert witness.connections == 1
    figure(
        f"20 that trickle the head of {path} for ever: ended after {max(ended):.1f} s at the latest, of {IDLE_S:g} s"
        " allowed (server.idle_timeout_s)"
    )
    assert max(ended) < IDLE_S + SLACK_S


async def trickled(site: Installation, path: str) -> float:
    """Say a header that never ends, and wait for the end."""
    began = time.monotonic()
    async with await RawSocket.connect(site.server.address) as link:
        link.write(f"GET {path}?token={site.plant.tokens[Role.OPERATOR]} HTTP/1.1\r\nHost: a\r\nX-A: ".encode())
        while not link.at_end():
            assert time.monotonic() - began < 60
            link.write(b"a")
            await link.within(TRICKLE_S)
    return time.monotonic() - began
