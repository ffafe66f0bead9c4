"""What the benchmarks of fan-out say on the wire, and how they count what comes back."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from benchmarks import mqtt, wire
from benchmarks.fanout import EVENTS, WANTED, Case, chosen
from benchmarks.publisher import NUMBER, ROUND, payloads, publish
from benchmarks.subscribers import Tally, listen
from webmacs.frames import text_frame
from webmacs.pipeline.broadcast import StreamEncoder

EVENT_IDS = [f"{number:08}-0000-4000-8000-000000000000" for number in range(EVENTS)]
SIZES = (0, 1, 125, 126, 127, 128, 16_383, 16_384, 65_535, 65_536, 70_000)


@pytest.mark.parametrize("size", SIZES)
def test_a_packet_says_how_long_it_is(size: int) -> None:
    packet = mqtt.packet(mqtt.PUBLISH, bytes(size))
    assert mqtt.packet_end(packet + b"more", 0) == len(packet)
    assert mqtt.packet_end(b"??" + packet[:5], 2) == 2 + len(packet)


def test_the_length_of_a_packet_is_in_seven_bits_a_byte_as_the_specification_has_it() -> None:
    assert mqtt.packet(0x30, bytes(321))[:3] == bytes((0x30, 0xC1, 0x02))  # section 2.2.3: 193, 2


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_says_how_long_it_is(size: int) -> None:
    frame = text_frame(bytes(size))
    assert wire.server_frame_end(frame + b"more", 0) == len(frame)
    assert wire.server_frame_end(b"??" + frame, 2) == 2 + len(frame)
    assert wire.server_frame_end(frame[:1], 0) is None


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 150, 1_000_000])
@pytest.mark.parametrize("protocol", ["websocket", "mqtt"])
def test_messages_are_counted_however_they_are_cut(protocol: str, piece: int) -> None:
    if protocol == "mqtt":
        tally, other = Tally(mqtt.packet_end, mqtt.PUBLISH), mqtt.packet(0xD0, b"")
        frames = [mqtt.publish(bytes([0x30]) * size) for size in SIZES]
    else:
        tally, other = Tally(wire.server_frame_end, wire.TEXT), b"\x89\x00"
        frames = [text_frame(bytes([0x81]) * size) for size in SIZES]
    data = other.join([b"", *frames, b""])
    for start in range(0, len(data), piece):
        tally.take(data[start : start + piece])
    assert tally.messages == len(frames)


def test_subscribers_count_until_it_is_quiet_and_notice_who_is_cut() -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    try:
        over = threading.Event()
        frame = text_frame(b"x" * 1000)
        for _, server in pairs:
            server.sendall(3 * frame)
        pairs[2][1].close()
        over.set()
        heard = listen([browser for browser, _ in pairs], "websocket", over)
        assert (heard.messages, heard.bytes, heard.lost) == (9, 9 * len(frame), 1)
    finally:
        for pair in pairs:
            for end in pair:
                end.close()


def test_what_is_passed_on_as_it_is_has_the_form_of_the_stream() -> None:
    (sent, *_), (passed_on, *_) = (list(payloads(EVENT_IDS, 8, content)) for content in ("readings", "stream"))
    shown = json.loads(passed_on)
    assert {point["event_public_id"] for point in shown["datapoints"]} == {
        point["event_public_id"] for point in json.loads(sent)["datapoints"]
    }
    made = StreamEncoder().message({"a": b"{}"}).frame(None)
    assert made is not None
    assert shown["type"] == json.loads(made[2:])["type"]


def test_every_message_has_the_first_event_and_a_number_of_its_own() -> None:
    made = list(payloads(EVENT_IDS, 200, "stream"))
    assert all(EVENT_IDS[0].encode() in payload for payload in made)
    numbers = [set(NUMBER.findall(payload)) for payload in made]
    assert all(len(one) == 1 for one in numbers)
    assert len(set.union(*numbers)) == ROUND


def test_a_publisher_ends_when_its_last_message_is_back_also_when_one_speaks_for_several() -> None:
    frames = [text_frame(payload) for payload in payloads(EVENT_IDS[:8], 8, "stream")]
    publisher, server = socket.socketpair()
    came: list[int] = []

    def merge() -> None:
        """Of all that has come, pass on the newest; cut into pieces."""
        data = b""
        while some := server.recv(1 << 20):
            data += some
            whole, rest = divmod(len(data), len(frames[0]))
            came.append(whole)
            data = data[len(data) - rest :]
            if whole:
                newest = frames[(sum(came) - 1) % ROUND]
                server.sendall(newest[:100])
                server.sendall(newest[100:])

    thread = threading.Thread(target=merge)
    thread.start()
    try:
        done = publish(frames, publisher, publisher, 0.2)
    finally:
        publisher.close()
        thread.join()
        server.close()
    assert done.messages == sum(came) > 0


def test_browsers_choose_the_same_events_or_each_its_own() -> None:
    assert set(chosen(Case(10), EVENT_IDS)) == {""}
    assert len(set(chosen(Case(10, "same"), EVENT_IDS))) == 1
    different = chosen(Case(1000, "different"), EVENT_IDS)
    assert len(set(different)) == 1000
    assert {len(set(one.split(","))) for one in different} == {WANTED}
