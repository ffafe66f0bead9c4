"""RFC 6455, section 8.1: text is UTF-8, all of it."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.plant import Server
from tests.rawsocket import CONTINUATION, TEXT, frame
from tests.websocket.peer import ANSWERS, HARMLESS, NO_TEXT, ends, let_in, still_open
from tests.wire import SOCKETS, TELEMETRY

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.promise("B6", "W2"),
    pytest.mark.usefixtures("no_time_to_lose"),
]

on_both_sockets = pytest.mark.parametrize("path", SOCKETS)

BROKEN = {
    "a byte that never occurs": b"\xff",
    "another one": b"\xfe",
    "a continuation alone": b"\x80",
    "the last of them": b"\xbf",
    "a slash in two bytes": b"\xc0\xaf",
    "a slash in three": b"\xe0\x80\xaf",
    "a slash in four": b"\xf0\x80\x80\xaf",
    "the longest of the too long": b"\xc1\xbf",
    "zero in two bytes": b"\xc0\x80",
    "a high surrogate": b"\xed\xa0\x80",
    "a low surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbc\xed\xbc\xa1",
    "just beyond the last character": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "cut after the first of two": b"\xc3",
    "cut after the second of three": b"\xe2\x82",
    "cut after the third of four": b"\xf0\x9f\x8c",
    "cut by a letter": b"\xe2\x82A",
    "Latin-1": "Übung".encode("latin-1"),
    "UTF-16": "{}".encode("utf-16"),
}

WHOLE = {
    "two bytes": "ü",
    "three bytes": "€",
    "four bytes": "🌡",
    "the last of one byte": "\x7f",
    "the first of two": "\x80",
    "the last of two": "\u07ff",
    "the first of three": "\u0800",
    "before the surrogates": "\ud7ff",
    "after the surrogates": "\ue000",
    "no character, but a code point": "\ufffe\uffff",
    "the first of four": "\U00010000",
    "the last of all": "\U0010ffff",
}


@on_both_sockets
@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_no_text(shared: Server, path: str, text: bytes) -> None:
    assert await ends(shared, path, frame(TEXT, b'{"type":"' + text + b'"}')) == NO_TEXT


@on_both_sockets
@pytest.mark.parametrize("text", [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x8c"], ids=repr)
async def test_text_that_breaks_off_at_its_end(shared: Server, path: str, text: bytes) -> None:
    assert await ends(shared, path, frame(TEXT, b"{}" + text)) == NO_TEXT
    assert await ends(shared, path, frame(TEXT, b"{}", final=False) + frame(CONTINUATION, text)) == NO_TEXT


@on_both_sockets
async def test_each_piece_may_be_text_and_the_whole_not(shared: Server, path: str) -> None:
    sent = (
        frame(TEXT, b'"\xed', final=False) + frame(CONTINUATION, b"\xa0", final=False) + frame(CONTINUATION, b'\x80"')
    )
    assert await ends(shared, path, sent) == NO_TEXT


@on_both_sockets
@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE.keys())
async def test_every_character_there_is(shared: Server, path: str, text: str) -> None:
    message = HARMLESS[path][:-1] + f',"{text}":"{text}"}}'.encode()
    async with await let_in(shared, path) as socket:
        socket.write(frame(TEXT, message))
        assert await socket.message() == ANSWERS[path]
        await still_open(shared, socket, path)


@on_both_sockets
async def test_a_character_may_be_cut_between_two_pieces(shared: Server, path: str) -> None:
    message = HARMLESS[path][:-1] + ',"🌡":"€"}'.encode()
    async with await let_in(shared, path) as socket:
        for cut in range(1, len(message)):
            socket.write(frame(TEXT, message[:cut], final=False) + frame(CONTINUATION, message[cut:]))
            assert await socket.message() == ANSWERS[path]


async def test_text_arrives_as_it_was_sent(shared: Server) -> None:
    event = "".join(WHOLE[name] for name in WHOLE if name not in {"the last of one byte", "the first of two"})
    batch = {"datapoints": [{"value": 1.0, "event_public_id": event}], "batch_id": str(uuid.uuid4())}
    async with await let_in(shared, TELEMETRY) as socket:
        socket.write(frame(TEXT, json.dumps(batch, ensure_ascii=False).encode()))
        assert (await socket.message())["unlinked"] == 1
    url = f"{shared.address}/api/v1/events/unlinked"
    async with shared.client.get(url, headers=shared.headers()) as response:
        assert event in [entry["event_public_id"] for entry in await response.json()]
