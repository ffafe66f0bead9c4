"""One attempt at receivers of every kind: what they get, what comes of it, and that it has an end."""

from __future__ import annotations

import asyncio
import logging
import math
import tracemalloc
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webhooks.receivers import (
    BOMB,
    CHUNKED,
    OK,
    Behaviour,
    Connection,
    closing,
    courier,
    flooding,
    hanging,
    listening,
    reply,
    resetting,
    saying,
    saying_last,
    trickling,
)
from webmacs import __version__
from webmacs.model import to_datetime
from webmacs.testing import START_US, ManualClock
from webmacs.webhooks.attempt import Answer, retry_after_s

SOON_S = 0.3
"""A deadline that is meant to pass."""
SURE_S = 3.0
"""One that is meant to pass, but not before a first answer."""
MEGABYTE = 1_000_000


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """That no more than this is held at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


# -- what arrives ----------------------------------------------------------------------------------------------------


async def test_a_delivery_arrives_with_its_body_and_says_what_it_is() -> None:
    body = '{"type":"sensor.reading","value":21.5,"sensor":"°C"}'.encode()
    clock = ManualClock()
    async with listening(OK) as receiver, courier(clock=clock) as sender:
        answer = await sender.send(receiver.url("/hook?key=a%2Bb"), "delivery-1", body, [])
    assert answer == Answer(200, None, None)
    assert answer.delivered
    [request] = receiver.requests
    assert request.line == "POST /hook?key=a%2Bb HTTP/1.1"
    assert request.body == body
    assert request.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": f"WebMACS/{__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "webhook-id": "delivery-1",
        "webhook-timestamp": str(START_US // 1_000_000),
        "x-webhook-timestamp": str(START_US // 1_000_000),
    }


async def test_with_a_secret_it_is_signed() -> None:
    async with listening(OK) as receiver, courier() as sender:
        await sender.send(receiver.url(), "delivery-1", b"{}", ["secret", "older"])
    headers = receiver.requests[0].headers
    assert len(headers["x-webhook-signature"]) == 64
    assert len(headers["webhook-signature"].split()) == 2


async def test_user_and_password_of_the_url_become_basic_authentication() -> None:
    async with listening(OK) as receiver, courier() as sender:
        url = receiver.url(host="user:p%40ss@127.0.0.1")
        assert (await sender.send(url, "id", b"{}", [])).delivered
    [request] = receiver.requests
    assert request.headers["authorization"] == "Basic dXNlcjpwQHNz"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"


async def test_what_is_in_a_url_cannot_break_out_of_the_request_line() -> None:
    async with listening(OK) as receiver, courier() as sender:
        await sender.send(receiver.url("/a\r\nX-Evil: 1\r\n\r\nb c#fragment"), "id", b"{}", [])
    [request] = receiver.requests
    assert request.line == "POST /aX-Evil:%201b%20c HTTP/1.1"
    assert "x-evil" not in request.headers


async def test_cookies_are_not_kept() -> None:
    async with listening(saying(reply(200, "Set-Cookie: spy=1; Path=/"))) as receiver, courier() as sender:
        for _ in range(2):
            await sender.send(receiver.url(), "id", b"{}", [])
    assert ["cookie" in request.headers for request in receiver.requests] == [False, False]


# -- what comes of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_delivered(status: int) -> None:
    async with listening(saying(reply(status, "Retry-After: 5"))) as receiver, courier() as sender:
        answer = await sender.send(receiver.url(), "id", b"{}", [])
    assert (answer, answer.delivered, answer.gone) == (Answer(status, None, None), True, False)


@pytest.mark.parametrize(
    "status", [300, 304, 305, 400, 401, 403, 404, 405, 408, 413, 418, 422, 429, 500, 502, 503, 599]
)
async def test_any_other_status_is_a_failure(status: int) -> None:
    async with listening(saying(reply(status))) as receiver, courier() as sender:
        answer = await sender.send(receiver.url(), "id", b"{}", [])
    assert (answer, answer.delivered, answer.gone) == (Answer(status, f"HTTP {status}", None), False, False)


async def test_410_says_that_the_receiver_is_gone() -> None:
    async with listening(saying(reply(410))) as receiver, courier() as sender:
        answer = await sender.send(receiver.url(), "id", b"{}", [])
    assert (answer, answer.delivered, answer.gone) == (Answer(410, "HTTP 410", None), False, True)


async def test_an_answer_in_between_is_not_the_answer() -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + reply(202)
    async with listening(saying(data)) as receiver, courier() as sender:
        assert await sender.send(receiver.url(), "id", b"{}", []) == Answer(202, None, None)


async def test_a_change_of_protocol_is_a_failure() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    async with listening(flooding(head, bytes(65_536))) as receiver, courier() as sender:
        assert await sender.send(receiver.url(), "id", b"{}", []) == Answer(101, "HTTP 101", None)
        await receiver.until(lambda: receiver.ended == 1)


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
async def test_any_failure_may_ask_for_a_pause(status: int) -> None:
    async with listening(saying(reply(status, "Retry-After: 120"))) as receiver, courier() as sender:
        assert await sender.send(receiver.url(), "id", b"{}", []) == Answer(status, f"HTTP {status}", 120.0)


async def test_a_pause_until_a_date_is_counted_from_now() -> None:
    until = format_datetime(to_datetime(START_US) + timedelta(minutes=5), usegmt=True)
    async with (
        listening(saying(reply(429, f"Retry-After: {until}"))) as receiver,
        courier(clock=ManualClock()) as sender,
    ):
        assert await sender.send(receiver.url(), "id", b"{}", []) == Answer(429, "HTTP 429", 300.0)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "pause_s"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 300, float("9" * 300)),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120.0),
        ("Thu, 01 Jan 2026 01:02:00 +0100", 120.0),
        ("Thursday, 01-Jan-26 00:02:00 GMT", 120.0),
        ("Thu Jan  1 00:02:00 2026", 120.0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - NOW).total_seconds()),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("inf", None),
        ("nan", None),
        ("²", None),
        ("٣", None),
        ("9" * 400, None),
        ("soon", None),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
        ("Thu, 01 Jan 2026 99:99:99 GMT", None),
        ("Thu, 01 Jan 2026 00:02:00 +99999999", None),
        ("5, 10", None),
    ],
)
def test_a_pause_is_asked_for_by_seconds_or_by_a_date_and_nonsense_is_none(
    text: str | None, pause_s: float | None
) -> None:
    assert retry_after_s(text, START_US) == pause_s


@given(
    st.one_of(
        st.text(),
        st.text(alphabet="0123456789 ,:+-.GMTJanFebThuFri"),
        st.datetimes().map(format_datetime),
        st.lists(
            st.sampled_from(["Thu,", "1", "Jan", "2026", "0:0:0", "99999999999", "GMT", "-0000", "+2400", ":", "-"])
        ).map(" ".join),
    )
)
def test_whatever_a_receiver_writes_a_pause_is_a_number_of_seconds_or_none(text: str) -> None:
    pause_s = retry_after_s(text, START_US)
    assert pause_s is None or (pause_s >= 0 and math.isfinite(pause_s))


# -- no answer -------------------------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    async with listening(OK) as receiver:
        pass
    async with courier() as sender:
        answer = await sender.send(receiver.url(), "id", b"{}", [])
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith(f"no connection to 127.0.0.1:{receiver.port}: ")
    assert answer.retry_after_s is None


async def test_nobody_listens_at_an_ipv6_address() -> None:
    async with listening(OK, host="::1") as receiver:
        pass
    async with courier() as sender:
        answer = await sender.send(receiver.url(host="[::1]"), "id", b"{}", [])
    assert answer.error is not None
    assert answer.error.startswith(f"no connection to [::1]:{receiver.port}: ")


async def test_a_receiver_that_says_nothing_has_a_deadline_and_is_hung_up_on() -> None:
    async with listening(hanging) as receiver, courier(timeout_s=SOON_S) as sender:
        assert await sender.send(receiver.url(), "id", b"{}", []) == Answer(None, "Timeout", None)
        await receiver.until(lambda: receiver.ended == 1)


async def test_a_receiver_that_closes_without_an_answer() -> None:
    async with listening(closing) as receiver, courier() as sender:
        answer = await sender.send(receiver.url(), "id", b"{}", [])
    assert answer == Answer(None, "the connection was closed without an answer", None)


async def test_a_receiver_that_resets_the_connection() -> None:
    async with listening(resetting) as receiver, courier() as sender:
        answer = await sender.send(receiver.url(), "id", b"{}", [])
    assert answer == Answer(None, "the connection broke: Connection reset by peer", None)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xff\x00\xff\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /hook HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_no_answer(data: bytes) -> None:
    async with listening(saying_last(data)) as receiver, courier() as sender:
        assert await sender.send(receiver.url(), "id", b"{}", []) == Answer(None, "the answer is not HTTP", None)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "it wants http:// or https://, a host and a possible port"),
        ("127.0.0.1", "it wants http:// or https://, a host and a possible port"),
        ("/path", "it wants http:// or https://, a host and a possible port"),
        ("http://", "it wants http:// or https://, a host and a possible port"),
        ("http:///path", "it wants http:// or https://, a host and a possible port"),
        ("http://127.0.0.1:99999/", "it wants http:// or https://, a host and a possible port"),
        ("http://127.0.0.1:port/", "it wants http:// or https://, a host and a possible port"),
        ("http://[::1/", "it wants http:// or https://, a host and a possible port"),
        ("http://127.0.0.1\x00.example/", "it wants http:// or https://, a host and a possible port"),
        ("http://\ud800/", "it wants http:// or https://, a host and a possible port"),
        ("ws://127.0.0.1/", "it wants http:// or https://, a host and a possible port"),
        ("ftp://127.0.0.1/", "it wants http:// or https://, a host and a possible port"),
        ("file:///etc/passwd", "it wants http:// or https://, a host and a possible port"),
        ("unix:///run/docker.sock", "it wants http:// or https://, a host and a possible port"),
        ("gopher://127.0.0.1/", "it wants http:// or https://, a host and a possible port"),
        ("http://2130706433/", "is not a canonical IPv4 address"),
    ],
)
async def test_what_is_no_url_of_http_cannot_be_called(url: str, why: str, caplog: pytest.LogCaptureFixture) -> None:
    async with courier() as sender:
        answer = await sender.send(url, "id", b"{}", [])
    assert answer == Answer(None, f"the URL cannot be called: {why}", None)
    assert caplog.records == []


async def test_what_nobody_thought_of_is_an_answer_too_and_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with courier() as sender:
        pass
    with caplog.at_level(logging.ERROR):
        answer = await sender.send("http://127.0.0.1/", "delivery-1", b"{}", [])
    assert answer == Answer(None, "RuntimeError", None)
    assert [record.getMessage() for record in caplog.records] == [
        "delivery delivery-1 failed in a way that nobody thought of"
    ]


async def test_a_courier_that_was_never_started_has_nothing_to_close() -> None:
    async with courier() as sender:
        await type(sender)(sender._settings, ManualClock()).close()


async def test_cancellation_is_no_answer_and_hangs_up() -> None:
    async with listening(hanging) as receiver, courier() as sender:
        attempt = asyncio.create_task(sender.send(receiver.url(), "id", b"{}", []))
        await receiver.until(lambda: len(receiver.requests) == 1)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await receiver.until(lambda: receiver.ended == 1)


# -- answers without an end ------------------------------------------------------------------------------------------

BODIES = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", bytes(65_536)),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\n", bytes(65_536)),
    "chunks": (CHUNKED, b"10000\r\n" + bytes(65_536) + b"\r\n"),
    "small chunks": (CHUNKED, b"1\r\nx\r\n" * 10_000),
    "failure": (b"HTTP/1.1 500 Error\r\nContent-Length: 1000000000\r\n\r\n", bytes(65_536)),
}


@pytest.mark.parametrize("kind", BODIES)
async def test_a_gigabyte_is_not_read(kind: str) -> None:
    head, more = BODIES[kind]
    async with listening(flooding(head, more)) as receiver, courier(max_response_bytes=100_000) as sender:
        with memory_below(MEGABYTE):
            answer = await sender.send(receiver.url(), "id", b"{}", [])
        await receiver.until(lambda: receiver.ended == 1)
    assert answer.status == (500 if kind == "failure" else 200)
    assert answer.delivered == (kind != "failure")
    assert receiver.sent < 20 * MEGABYTE, "what the kernel takes, and no more"


SLOW_BODIES = {
    "bytes": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
    "nothing more": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b""),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
    "extension": (CHUNKED + b"1;", b"extension"),
    "zeros": (CHUNKED, b"0"),
    "no end": (CHUNKED + b"0\r\n", b""),
}


async def test_the_status_decides_however_slowly_the_rest_comes() -> None:
    """All kinds at the same time, with a deadline that the first part of an answer is sure to meet."""
    async with AsyncExitStack() as stack, courier(timeout_s=SURE_S) as sender:
        receivers = [
            await stack.enter_async_context(listening(trickling(head, more))) for head, more in SLOW_BODIES.values()
        ]
        answers = await asyncio.gather(*(sender.send(receiver.url(), "id", b"{}", []) for receiver in receivers))
        assert dict(zip(SLOW_BODIES, answers, strict=True)) == dict.fromkeys(SLOW_BODIES, Answer(200, None, None))
        for receiver in receivers:
            await receiver.until(lambda: receiver.ended == 1)  # noqa: B023 - awaited before the next one


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", CHUNKED + b"5\r\nx", CHUNKED])
async def test_the_status_decides_although_the_rest_breaks_off(data: bytes) -> None:
    async with listening(saying_last(data)) as receiver, courier() as sender:
        assert await sender.send(receiver.url(), "id", b"{}", []) == Answer(200, None, None)


ENDLESS_HEADS = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Header: value\r\n" * 1000),
    "header": (b"HTTP/1.1 200 OK\r\nX-Header: ", b"x" * 65_536),
    "reason": (b"HTTP/1.1 200 ", b"x" * 65_536),
    "garbage": (b"", b"\x00\xff" * 1000),
}


@pytest.mark.parametrize("kind", ENDLESS_HEADS)
async def test_a_head_without_an_end_is_no_answer(kind: str) -> None:
    head, more = ENDLESS_HEADS[kind]
    async with listening(flooding(head, more)) as receiver, courier() as sender:
        with memory_below(MEGABYTE):
            answer = await sender.send(receiver.url(), "id", b"{}", [])
        await receiver.until(lambda: receiver.ended == 1)
    assert answer == Answer(None, "the answer is not HTTP", None)
    assert receiver.sent < 20 * MEGABYTE


@pytest.mark.parametrize(
    "more", [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * 500, b"\r\n" * 10_000]
)
async def test_heads_without_an_end_have_a_deadline(more: bytes) -> None:
    async with listening(flooding(b"", more)) as receiver, courier(timeout_s=SOON_S) as sender:
        with memory_below(2 * MEGABYTE):
            answer = await sender.send(receiver.url(), "id", b"{}", [])
        await receiver.until(lambda: receiver.ended == 1)
    assert answer == Answer(None, "Timeout", None)


async def test_what_is_compressed_is_not_unpacked() -> None:
    """Packed it is small enough to be read to its end, which shows in the connection that is used again."""
    data = reply(200, "Content-Encoding: gzip", body=BOMB)
    async with listening(saying(data)) as receiver, courier(max_response_bytes=len(BOMB)) as sender:
        with memory_below(MEGABYTE):
            for _ in range(2):
                assert (await sender.send(receiver.url(), "id", b"{}", [])).delivered
    assert receiver.connections == 1


# -- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 6, 1000])
async def test_a_small_answer_leaves_the_connection_for_the_next_attempt(size: int) -> None:
    behave = saying(reply(200, body=bytes(size)))
    async with listening(behave) as receiver, courier(max_response_bytes=1000) as sender:
        for _ in range(3):
            assert (await sender.send(receiver.url(), "id", b"{}", [])).delivered
    assert (receiver.connections, len(receiver.requests)) == (1, 3)


async def test_a_larger_answer_ends_the_connection() -> None:
    behave = saying(reply(200, body=bytes(MEGABYTE)))
    async with listening(behave) as receiver, courier(max_response_bytes=1000) as sender:
        for _ in range(3):
            assert (await sender.send(receiver.url(), "id", b"{}", [])).delivered
    assert receiver.connections == 3


async def test_a_receiver_may_end_the_connection_with_its_answer() -> None:
    async with listening(saying_last(reply(200, "Connection: close"))) as receiver, courier() as sender:
        for _ in range(3):
            assert (await sender.send(receiver.url(), "id", b"{}", [])).delivered
    assert receiver.connections == 3


async def test_a_connection_that_is_not_used_is_ended_by_us() -> None:
    """Before the receiver does: a request that meets the end of a connection is lost."""
    async with listening(OK) as receiver, courier() as sender:
        assert (await sender.send(receiver.url(), "id", b"{}", [])).delivered
        await receiver.until(lambda: receiver.ended == 1)
        assert (await sender.send(receiver.url(), "id", b"{}", [])).delivered
    assert receiver.connections == 2


async def test_hanging_receivers_leave_the_others_alone() -> None:
    """More than the 100 connections that a connector of aiohttp has room for."""
    async with listening(hanging) as stuck, listening(OK) as healthy, courier() as sender:
        waiting = [asyncio.create_task(sender.send(stuck.url(), "id", b"{}", [])) for _ in range(120)]
        await stuck.until(lambda: len(stuck.requests) == len(waiting))
        assert (await sender.send(healthy.url(), "id", b"{}", [])).delivered
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


# -- what is said of it ----------------------------------------------------------------------------------------------


async def echoing(connection: Connection) -> None:
    """Sends back what it got, which is no answer."""
    request = connection.receiver.requests[-1]
    lines = (request.line, *(f"{name}: {value}" for name, value in request.headers.items()))
    await connection.send("\r\n".join((*lines, "", "")).encode() + request.body)


@pytest.mark.parametrize("behave", [echoing, closing, resetting, hanging, saying(reply(500, body=b"S3CRET"))])
@pytest.mark.parametrize("scheme", ["http", "https", "ftp"])
async def test_no_secret_is_said_in_an_error(behave: Behaviour, scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(behave) as receiver, courier(timeout_s=SOON_S) as sender:
        url = receiver.url("/S3CRET?token=S3CRET#S3CRET", "S3CRET:S3CRET@127.0.0.1", scheme)
        answer = await sender.send(url, "id", b"S3CRET", ["S3CRET"])
    assert answer.error is not None
    assert "S3CRET" not in answer.error + caplog.text


async def test_what_is_said_is_one_line_of_at_most_500_characters() -> None:
    async with courier() as sender:
        answer = await sender.send(f"http://{'a' * 600}/", "id", b"{}", [])
    assert answer.error is not None
    assert len(answer.error) == 500
    assert answer.error.isprintable()
