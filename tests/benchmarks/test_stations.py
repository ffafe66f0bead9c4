"""What fan-out and receiving are measured beside: real ones, asked as the benchmarks ask them."""

from __future__ import annotations

from pathlib import Path

from benchmarks import bare, mosquitto, mqtt, wire
from benchmarks.publisher import ROUND, payloads, publish
from benchmarks.subscribers import open_link
from tests.parts import require
from webmacs.frames import text_frame

EVENTS = [f"{number:08}-0000-4000-8000-000000000000" for number in range(8)]


def test_mosquitto_hands_on_what_is_published_to_all_that_subscribe(tmp_path: Path) -> None:
    program = require("mosquitto", "apt install mosquitto")
    frames = [mqtt.publish(payload) for payload in payloads(EVENTS, 8, "stream")]
    with mosquitto.running(program, tmp_path) as (port, process):
        browser, back = (open_link("mqtt", port, "", name) for name in ("browser", "back"))
        out = mqtt.connect(port, "out")
        with browser, back, out:
            done = publish(frames, out, back, 0.2)
            assert done.messages
            whole = b"".join(frames[number % ROUND] for number in range(done.messages))
            assert wire.exactly(browser, len(whole)) == whole
        assert process.is_running()
    assert mosquitto.version(program).startswith("Mosquitto 2")


def test_bare_aiohttp_passes_on_the_frame_as_it_is(tmp_path: Path) -> None:
    payload = next(payloads(EVENTS, 8, "stream"))
    with bare.running(tmp_path, pass_on=True) as server:
        browsers = [open_link("websocket", server.port, "any", str(number)) for number in range(3)]
        controller = wire.connect(server.port, wire.TELEMETRY, "any")
        controller.sendall(wire.client_frame(payload))
        for browser in browsers:
            assert wire.exactly(browser, len(text_frame(payload))) == text_frame(payload)
        for link in (controller, *browsers):
            link.close()


def test_bare_aiohttp_counts_and_acknowledges_the_last(tmp_path: Path) -> None:
    with bare.running(tmp_path) as server, wire.connect(server.port, wire.TELEMETRY, "any") as controller:
        controller.sendall(3 * wire.telemetry(b'{"datapoints": []') + wire.telemetry(b'{"datapoints": []', "last"))
        answer = text_frame(bare.ACK.encode())
        assert wire.exactly(controller, len(answer)) == answer
