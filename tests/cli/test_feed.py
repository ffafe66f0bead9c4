"""Following a stream: the socket, the fallback to polling, the way back, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.cli.pretender import (
    Pretender,
    Recorder,
    batch,
    closing,
    cut,
    hang_up,
    listen,
    pretending,
    reading,
    telling,
    text_messages,
)
from webmacs.cli.feed import Feed, Mode, Timing, explain
from webmacs.cli.point import Point
from webmacs.errors import AuthError

QUICK = Timing(poll_s=0.01, ping_s=0.05, answer_s=0.5, first_delay_s=0.01, max_delay_s=0.02)
LATER = "2026-05-04T12:00:01.000000+00:00"


class Tokens:
    """Signs in with one token after the other."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)
        self.asked = 0

    async def sign_in(self, _session: aiohttp.ClientSession) -> str:
        self.asked += 1
        return self._tokens.pop(0) if self._tokens else "good"


@asynccontextmanager
async def following(
    server: Pretender,
    token: str = "good",
    tokens: Tokens | None = None,
    recorder: Recorder | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Recorder, asyncio.Task[None]]]:
    recorder = recorder or Recorder()
    async with aiohttp.ClientSession() as session:
        sign_in = (tokens or Tokens()).sign_in
        feed = Feed(session, server.address, sign_in, token, recorder, **{"timing": QUICK, **options})
        task = asyncio.create_task(feed.run())
        try:
            yield recorder, task
        finally:
            task.cancel()
            await asyncio.wait([task])


async def refusal_of(task: asyncio.Task[None]) -> str:
    with pytest.raises(AuthError) as refused:
        await asyncio.wait_for(task, 10)
    return refused.value.reason


async def test_readings_come_over_the_socket() -> None:
    async with pretending(telling(reading("e1", 1.5), reading("e2", 2.5))) as server, following(server) as (heard, _):
        await heard.until(lambda: len(heard.points) == 2)
    assert [(point.event, point.value) for point in heard.points] == [("e1", 1.5), ("e2", 2.5)]
    assert heard.modes == [(Mode.CONNECTING, None), (Mode.WEBSOCKET, None)]


async def test_it_asks_for_a_snapshot_with_its_token() -> None:
    async with pretending() as server, following(server) as (heard, _):
        await heard.until(lambda: (Mode.WEBSOCKET, None) in heard.modes)
    assert server.queries == [{"token": "good", "snapshot": "1"}]


async def test_it_asks_for_the_chosen_events_only() -> None:
    async with pretending() as server, following(server, events=["e1", "e2"]) as (heard, _):
        await heard.until(lambda: (Mode.WEBSOCKET, None) in heard.modes)
    assert server.queries[0]["events"] == "e1,e2"


async def test_the_same_reading_is_told_once() -> None:
    conversation = telling(reading(value=1.0), reading(value=1.0), reading(value=1.0, time=LATER))
    async with pretending(conversation) as server, following(server) as (heard, _):
        await heard.until(lambda: len(heard.points) == 2)
    assert [point.time.second for point in heard.points] == [0, 1]


async def test_messages_that_are_no_readings_are_passed_over() -> None:
    async def chatter(socket: web.WebSocketResponse) -> None:
        for text in ("nonsense", '{"type":"news"}', batch({"value": "high"})):
            await socket.send_str(text)
        await socket.send_bytes(b"\0")
        await telling(reading())(socket)

    async with pretending(chatter) as server, following(server) as (heard, _):
        await heard.until(lambda: heard.points)
    assert len(heard.points) == 1


async def test_a_message_of_any_size_is_taken() -> None:
    many = [reading(f"event {number}") for number in range(50_000)]
    async with pretending(telling(*many)) as server, following(server) as (heard, _):
        await heard.until(lambda: heard.points)
    assert len(heard.points) == len(many)


async def test_it_pings_as_browsers_do() -> None:
    heard: list[Any] = []
    twice = asyncio.Event()

    async def conversation(socket: web.WebSocketResponse) -> None:
        heard.extend(await text_messages(socket, 2))
        twice.set()
        await listen(socket)

    async with pretending(conversation) as server, following(server):
        await asyncio.wait_for(twice.wait(), 10)
    assert heard == [{"type": "ping"}, {"type": "ping"}]


async def test_a_dropped_connection_is_made_again() -> None:
    script = (telling_then(cut, reading(value=1.0)), telling(reading(value=2.0, time=LATER)))
    async with pretending(*script) as server, following(server) as (heard, _):
        await heard.until(lambda: len(heard.points) == 2)
    assert (Mode.CONNECTING, "the connection was lost") in heard.modes
    assert heard.modes[-1] == (Mode.WEBSOCKET, None)
    assert server.polls == 0


async def test_the_reason_of_a_closed_connection_is_told() -> None:
    async with pretending(hang_up, listen) as server, following(server) as (heard, _):
        await heard.until(lambda: heard.modes.count((Mode.WEBSOCKET, None)) == 2)
    assert (Mode.CONNECTING, "Server is stopping") in heard.modes


async def test_a_server_that_answers_nothing_is_given_up() -> None:
    async def deaf(_socket: web.WebSocketResponse) -> None:
        await asyncio.Event().wait()

    async with pretending(deaf, listen) as server, following(server) as (heard, _):
        await heard.until(lambda: (Mode.CONNECTING, "no answer in time") in heard.modes)


async def test_after_three_failures_in_a_row_it_polls() -> None:
    async with pretending(503) as server:
        server.latest = [reading("e1", 7.0)]
        async with following(server) as (heard, _):
            await heard.until(lambda: heard.points)
    assert len(server.queries) >= 3
    assert heard.modes[-1] == (Mode.POLLING, "HTTP 503 instead of a WebSocket")
    assert [mode for mode, _ in heard.modes].index(Mode.POLLING) > 0


async def test_two_failures_are_no_reason_to_poll() -> None:
    async with pretending(503, 503, listen) as server, following(server) as (heard, _):
        await heard.until(lambda: (Mode.WEBSOCKET, None) in heard.modes)
        assert server.polls == 0


async def test_polling_stops_when_the_socket_is_back() -> None:
    back = asyncio.Event()

    async def conversation(socket: web.WebSocketResponse) -> None:
        back.set()
        await listen(socket)

    async with pretending(503, 503, 503, conversation) as server, following(server) as (heard, _):
        await asyncio.wait_for(back.wait(), 10)
        await heard.until(lambda: heard.modes[-1] == (Mode.WEBSOCKET, None))
        polls = server.polls
        await asyncio.sleep(20 * QUICK.poll_s)
        assert server.polls <= polls + 1
        assert heard.modes[-1] == (Mode.WEBSOCKET, None)


async def test_a_poll_that_was_under_way_when_the_socket_came_back_changes_nothing() -> None:
    async with pretending(503, 503, 503, listen) as server:
        server.poll_gate = asyncio.Event()
        server.latest = [reading()]
        async with following(server) as (heard, _):
            await heard.until(lambda: server.polls and heard.modes[-1] == (Mode.WEBSOCKET, None))
            server.poll_gate.set()
            await heard.until(lambda: heard.points)
    assert Mode.POLLING not in [mode for mode, _ in heard.modes]
    assert server.polls == 1


async def test_polls_tell_each_reading_once_and_only_of_the_chosen_events() -> None:
    async with pretending(503) as server:
        server.latest = [reading("e1", 1.0), reading("e2", 2.0)]
        async with following(server, events=["e2"]) as (heard, _):
            await heard.until(lambda: server.polls > 3)
            server.latest = [reading("e2", 3.0, LATER)]
            await heard.until(lambda: len(heard.points) == 2)
    assert [point.value for point in heard.points] == [2.0, 3.0]


@pytest.mark.parametrize(
    ("status", "text", "problem"),
    [
        (500, None, "HTTP 500"),
        (429, None, "the server is asked too often from here, or logins have failed; try again in some minutes"),
        (200, "<html>", "no answer that makes sense; is it a WebMACS server?"),
        (200, '{"detail": "odd"}', "HTTP 503 instead of a WebSocket"),
    ],
)
async def test_what_is_wrong_with_polling_is_told(status: int, text: str | None, problem: str) -> None:
    async with pretending(503) as server:
        server.poll_status, server.poll_text = status, text
        async with following(server) as (heard, _):
            await heard.until(lambda: (Mode.POLLING, problem) in heard.modes)


async def test_a_refused_token_ends_it() -> None:
    async with pretending() as server, following(server, "bad") as (_, task):
        assert await refusal_of(task) == "Invalid or expired token"
    assert len(server.queries) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_refused_before_the_upgrade_ends_it(status: int) -> None:
    async with pretending(status) as server, following(server) as (_, task):
        assert await refusal_of(task) == f"refused with HTTP {status}"


async def test_a_token_refused_by_polling_ends_it() -> None:
    async with pretending(503) as server, following(server, "bad") as (_, task):
        assert await refusal_of(task) == "Invalid or expired token"


async def test_a_token_that_was_good_is_replaced_when_it_expires() -> None:
    script = (closing(1008, "Invalid or expired token"), telling(reading()))
    tokens = Tokens("good")
    async with pretending(*script) as server, following(server, tokens=tokens) as (heard, _):
        await heard.until(lambda: heard.points)
    assert tokens.asked == 1


async def test_a_refusal_that_is_no_json_is_told_by_its_number() -> None:
    async with pretending(503) as server:
        server.poll_status, server.poll_text = 401, "go away"
        async with following(server) as (_, task):
            assert await refusal_of(task) == "refused with HTTP 401"


async def test_an_old_token_that_is_refused_after_a_new_one_was_got_matters_no_more() -> None:
    tokens = Tokens()
    async with aiohttp.ClientSession() as session:
        feed = Feed(session, "http://nowhere", tokens.sign_in, "new", Recorder())
        await feed._renew("old", AuthError("Invalid or expired token"))
    assert tokens.asked == 0


async def test_a_refusal_without_words_is_told_by_its_number() -> None:
    async with pretending(503) as server:
        server.poll_status, server.poll_detail = 403, None
        async with following(server) as (_, task):
            assert await refusal_of(task) == "refused with HTTP 403"


async def test_a_token_that_expires_while_polling_is_replaced() -> None:
    async with pretending(503) as server:
        server.tokens.add("old")
        server.latest = [reading(value=1.0)]
        tokens = Tokens("good")
        async with following(server, "old", tokens) as (heard, _):
            await heard.until(lambda: len(heard.points) == 1)
            server.tokens.discard("old")
            server.latest = [reading(value=2.0, time=LATER)]
            await heard.until(lambda: len(heard.points) == 2)
    assert tokens.asked == 1


async def test_a_token_that_was_revoked_and_cannot_be_replaced_ends_it() -> None:
    script = (closing(1008, "Token has been revoked"), closing(1008, "Token has been revoked"))
    tokens = Tokens("revoked")
    async with pretending(*script) as server, following(server, tokens=tokens) as (_, task):
        assert await refusal_of(task) == "Invalid or expired token"
    assert len(server.queries) == 2


async def test_signing_in_again_waits_for_a_server_that_is_away() -> None:
    class Away(Tokens):
        async def sign_in(self, session: aiohttp.ClientSession) -> str:
            if not self.asked:
                self.asked += 1
                raise aiohttp.ServerDisconnectedError
            return await super().sign_in(session)

    tokens = Away()
    script = (closing(1008, "Invalid or expired token"), closing(1008, "Invalid or expired token"), telling(reading()))
    async with pretending(*script) as server, following(server, tokens=tokens) as (heard, _):
        await heard.until(lambda: heard.points)
    assert tokens.asked == 2


async def test_a_listener_that_fails_ends_it_with_its_error() -> None:
    class Broken(Exception):
        pass

    class Deaf(Recorder):
        async def received(self, points: list[Point]) -> None:
            raise Broken

    async with pretending(telling(reading())) as server, following(server, recorder=Deaf()) as (_, task):
        with pytest.raises(Broken):
            await asyncio.wait_for(task, 10)


async def test_nobody_at_the_address_is_told_plainly(port: int) -> None:
    async with following(Pretender(f"http://127.0.0.1:{port}")) as (heard, _):
        await heard.until(lambda: (Mode.POLLING, "connection refused") in heard.modes)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "connection reset by peer"),
        (OSError("odd"), "oserror"),
        (TimeoutError(), "no answer in time"),
        (aiohttp.ServerDisconnectedError(), "the server closed the connection; is it https:// there?"),
        (ValueError("secret token"), "no answer that makes sense; is it a WebMACS server?"),
    ],
)
def test_what_is_in_the_way_is_said_for_people(error: Exception, text: str) -> None:
    assert explain(error) == text


def telling_then(last: Any, *readings: dict[str, Any]) -> Any:
    async def conversation(socket: web.WebSocketResponse) -> None:
        await socket.send_str(batch(*readings))
        await last(socket)

    return conversation
