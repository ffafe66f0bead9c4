"""MQTT against a real Mosquitto: what comes, what is set, and a broker that goes away and comes back."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.cli.conftest import until
from tests.plugins.broker import PASSWORD, USER, Broker, mosquitto
from webmacs.errors import DeviceError
from webmacs.plugins.base import Sample
from webmacs.plugins.conformance import DeviceContract
from webmacs.plugins.mqtt.device import Mqtt

PERCENT = {"min_value": 0.0, "max_value": 100.0}
TEMPERATURE = {"channel_id": "temperature", "topic": "plant/climate", "pointer": "/t", **PERCENT}
HUMIDITY = {"channel_id": "humidity", "topic": "plant/climate", "pointer": "/h", **PERCENT}
LEVEL = {"channel_id": "level", "topic": "plant/level", **PERCENT}
HEATER = {"channel_id": "heater", "topic": "plant/heater/state", "command_topic": "plant/heater/set", **PERCENT}
LAMP = {"channel_id": "lamp", "topic": "plant/lamp", "command_topic": "plant/lamp/set", "words": {"ON": 1, "OFF": 0}}
BLIND = {"channel_id": "blind", "command_topic": "plant/blind/set", **PERCENT}
ALL = (TEMPERATURE, HUMIDITY, LEVEL, HEATER, {**LAMP, "direction": "bidirectional", "safe_value": 0.0}, BLIND)
PATIENCE_S = 20.0


class Appliance:
    """Something behind the broker: it does as it is told and says so, and says each second what it measures."""

    def __init__(self, port: int) -> None:
        self.deaf = False
        self.told: list[tuple[str, str]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("plant/+/set", 1)
        self._client.on_message = self._told
        self._gone = threading.Event()
        self._client.on_disconnect = lambda *_: self._gone.set()
        listens = threading.Event()
        self._client.on_subscribe = lambda *_: listens.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert listens.wait(PATIENCE_S)

    def say(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, 1, retain).wait_for_publish(PATIENCE_S)

    def measure(self) -> None:
        self.say("plant/climate", '{"t": 21.5, "h": 40}')
        self.say("plant/level", "75")
        self.say("plant/lamp", "OFF")

    def close(self) -> None:
        self._client.disconnect()
        assert self._gone.wait(PATIENCE_S)  # or else its thread may end before its socket is closed
        self._client.loop_stop()

    def _told(self, client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        self.told.append((message.topic, message.payload.decode()))
        if not self.deaf and "blind" not in message.topic:
            state = "plant/heater/state" if "heater" in message.topic else "plant/lamp"
            client.publish(state, message.payload, 1)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as found:
        yield found


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """One that a test may stop."""
    with mosquitto(tmp_path) as found:
        yield found


@pytest.fixture
def appliance(broker: Broker) -> Iterator[Appliance]:
    found = Appliance(broker.ports.open)
    yield found
    found.close()


def device(port: int, *channels: dict[str, Any], **keys: object) -> Mqtt:
    config = {"host": "127.0.0.1", "port": port, "timeout_s": 2.0, "retry_s": 0.2, **keys, "channels": channels}
    return Mqtt(Mqtt.configured(json.dumps(config)))


@asynccontextmanager
async def opened(found: Mqtt) -> AsyncIterator[Mqtt]:
    await found.open()
    try:
        yield found
    finally:
        await found.close()


async def samples(found: Mqtt, count: int) -> list[Sample]:
    taken: list[Sample] = []
    async with asyncio.timeout(PATIENCE_S):
        async for sample in found.samples():
            taken.append(sample)
            if len(taken) == count:
                break
    return taken


async def values(found: Mqtt, count: int) -> list[tuple[str, float]]:
    return [(sample.channel_id, sample.value) for sample in await samples(found, count)]


async def until_healthy(found: Mqtt, *, ok: bool = True) -> str:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            health = await found.health()
            if health.ok is ok:
                return health.message
            await asyncio.sleep(0.02)


class TestMqtt(DeviceContract):
    device_class = Mqtt

    @pytest.fixture
    def config_json(self, broker: Broker) -> Iterator[str]:
        talker = Appliance(broker.ports.open)
        stopped = False

        def talk() -> None:
            while not stopped:
                talker.measure()
                time.sleep(0.02)

        thread = threading.Thread(target=talk)
        thread.start()
        yield json.dumps({"host": "127.0.0.1", "port": broker.ports.open, "timeout_s": 2.0, "channels": ALL})
        stopped = True
        thread.join()
        talker.close()


# -- what comes ------------------------------------------------------------------------------------------------------


async def test_a_message_has_a_value_for_each_channel_of_its_topic(broker: Broker, appliance: Appliance) -> None:
    async with opened(device(broker.ports.open, TEMPERATURE, HUMIDITY, LEVEL)) as found:
        before = time.time_ns()
        appliance.say("plant/climate", '{"t": 21.5, "h": 40}')
        appliance.say("plant/elsewhere", "1")
        appliance.say("plant/level", "75")
        taken = await samples(found, 3)
        assert [one[:2] for one in taken] == [("temperature", 21.5), ("humidity", 40.0), ("level", 75.0)]
        assert all(before <= (one.time_ns or 0) <= time.time_ns() for one in taken)


async def test_a_message_may_say_when_it_was_measured(broker: Broker, appliance: Appliance) -> None:
    timed = {**LEVEL, "pointer": "/v", "time_pointer": "/at"}
    async with opened(device(broker.ports.open, timed)) as found:
        appliance.say("plant/level", '{"v": 1, "at": 1700000000.5}')
        assert await samples(found, 1) == [Sample("level", 1.0, 1_700_000_000_500_000_000)]


async def test_what_the_broker_has_kept_is_taken_by_those_who_want_it(broker: Broker, appliance: Appliance) -> None:
    places = [
        {"channel_id": "kept", "topic": "plant/kept", "retained": True, **PERCENT},
        {"channel_id": "fresh", "topic": "plant/kept", **PERCENT},
        {"channel_id": "timed", "topic": "plant/timed", "pointer": "/v", "time_pointer": "/at", **PERCENT},
    ]
    appliance.say("plant/kept", "1", retain=True)
    appliance.say("plant/timed", '{"v": 2, "at": "2023-11-14T22:13:20Z"}', retain=True)
    async with opened(device(broker.ports.open, *places)) as found:
        assert sorted(await values(found, 2)) == [("kept", 1.0), ("timed", 2.0)]
        appliance.say("plant/kept", "3")
        assert sorted(await values(found, 2)) == [("fresh", 3.0), ("kept", 3.0)]


async def test_what_cannot_be_understood_is_left_out_and_named(broker: Broker, appliance: Appliance) -> None:
    async with opened(device(broker.ports.open, TEMPERATURE, HUMIDITY, LEVEL)) as found:
        for payload in ("warm", '{"t": "warm", "h": 40}', b"\xff\xfe"):
            appliance.say("plant/climate", payload)
        assert await values(found, 1) == [("humidity", 40.0)]
        appliance.say("plant/level", "1")
        await samples(found, 1)
        health = await found.health()
        assert (health.ok, health.message[:31]) == (False, "2 of 3 channels: temperature: t")
        appliance.say("plant/climate", '{"t": 1, "h": 2}')
        await samples(found, 2)
        assert (await found.health()).ok


async def test_values_that_nobody_takes_are_dropped_from_the_oldest_on_and_counted(
    broker: Broker, appliance: Appliance
) -> None:
    async with opened(device(broker.ports.open, LEVEL, queue_size=3)) as found:
        for number in range(10):
            appliance.say("plant/level", str(number))
        await until(lambda: found._dropped == 7)
        assert await values(found, 3) == [("level", 7.0), ("level", 8.0), ("level", 9.0)]
        assert (await found.health()).message == "7 values were dropped, as too many waited"


# -- what is set -----------------------------------------------------------------------------------------------------


async def test_what_is_set_is_read_back_from_where_the_device_says_it(broker: Broker, appliance: Appliance) -> None:
    async with opened(device(broker.ports.open, HEATER, LAMP, BLIND)) as found:
        assert await found.write("heater", 42.5) == 42.5
        assert await found.write("lamp", 1.0) == 1.0
        assert await found.write("blind", 30.0) is None
    await until(lambda: len(appliance.told) == 3)
    assert appliance.told == [
        ("plant/heater/set", "42.5"),
        ("plant/lamp/set", "ON"),
        ("plant/blind/set", "30"),
    ]


async def test_a_device_that_does_otherwise_is_read_back_as_it_is(broker: Broker, appliance: Appliance) -> None:
    appliance.deaf = True
    async with opened(device(broker.ports.open, HEATER, readback_s=0.3)) as found:
        assert await found.write("heater", 42.5) is None
        writing = asyncio.create_task(found.write("heater", 42.5))
        await until(lambda: len(appliance.told) == 2)
        appliance.say("plant/heater/state", "40")
        assert await writing == 40.0


async def test_an_output_is_not_measured_and_what_goes_both_ways_is(broker: Broker, appliance: Appliance) -> None:
    both = {**LAMP, "direction": "bidirectional"}
    async with opened(device(broker.ports.open, HEATER, both)) as found:
        await found.write("heater", 1.0)
        await found.write("lamp", 1.0)
        assert await values(found, 1) == [("lamp", 1.0)]


async def test_without_a_connection_nothing_is_set(broker: Broker) -> None:
    found = device(broker.ports.open, HEATER)
    with pytest.raises(DeviceError, match="not open"):
        await found.write("heater", 1.0)


# -- the broker ------------------------------------------------------------------------------------------------------


async def test_a_broker_that_goes_away_is_found_again_when_it_is_back(own_broker: Broker) -> None:
    async with opened(device(own_broker.ports.open, LEVEL, HEATER)) as found:
        own_broker.stop()
        assert "is lost" in await until_healthy(found, ok=False)
        with pytest.raises(DeviceError, match=r"is lost|no connection to the broker"):
            await found.write("heater", 1.0)
        await asyncio.sleep(0.3)
        own_broker.start()
        await until_healthy(found)
        appliance = Appliance(own_broker.ports.open)
        appliance.say("plant/level", "5")
        assert await values(found, 1) == [("level", 5.0)]
        assert await found.write("heater", 2.0) == 2.0
        appliance.close()


async def test_a_broker_that_is_not_there_is_no_device() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(DeviceError, match=f"no connection to the broker at 127.0.0.1:{port}: .*refused"):
        await device(port, LEVEL).open()


def read_to_the_end(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(5)
        while connection.recv(1024):
            pass  # what it sent, and then the end


async def test_a_broker_that_says_nothing_is_given_up_and_let_go() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = device(silent.getsockname()[1], LEVEL, timeout_s=0.3)
        began = loop.time()
        with pytest.raises(DeviceError, match=r"no connection to the broker at .*timed out"):
            await found.open()
        assert loop.time() - began < 5
        await found.close()
        await asyncio.to_thread(read_to_the_end, silent)


async def test_a_password_may_be_wrong(broker: Broker) -> None:
    with pytest.raises(DeviceError, match=r"no connection to the broker at .*[Nn]ot authori[sz]ed"):
        await device(broker.ports.guarded, LEVEL, username=USER, password="CANARY").open()


async def test_a_password_may_be_in_the_environment_of_the_controller(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = device(broker.ports.guarded, LEVEL, username=USER, password_env="WEBMACS_DEVICE_BROKER")
    with pytest.raises(DeviceError, match="environment has no variable WEBMACS_DEVICE_BROKER"):
        await found.open()
    monkeypatch.setenv("WEBMACS_DEVICE_BROKER", PASSWORD)
    async with opened(found):
        assert (await found.health()).ok
    async with opened(device(broker.ports.guarded, LEVEL, username=USER, password=PASSWORD)) as with_it:
        assert (await with_it.health()).ok


class StrictBroker:
    """It takes one connection, and no subscription to the last topic (MQTT 3.1.1, 3.9.3)."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(b"\x20\x02\x00\x00")
        subscribe = await reader.read(1024)
        writer.write(b"\x90\x04" + subscribe[2:4] + b"\x01\x80")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        self.ended.set()


async def test_a_topic_that_the_broker_does_not_let_one_read_is_named() -> None:
    secret = {"channel_id": "secret", "topic": "secret/level", **PERCENT}
    broker = StrictBroker()
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as strict:
        with pytest.raises(DeviceError, match="does not let us subscribe to 'secret/level'"):
            await device(strict.sockets[0].getsockname()[1], LEVEL, secret).open()
        await asyncio.wait_for(broker.ended.wait(), PATIENCE_S)


@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")  # paho does not close it
async def test_a_broker_behind_tls_has_to_show_a_certificate_that_is_trusted(broker: Broker) -> None:
    with pytest.raises(DeviceError, match=r"(?i)certificate"):
        await device(broker.ports.tls, LEVEL, tls={}).open()
    with pytest.raises(DeviceError, match="tls: /nowhere cannot be used"):
        await device(broker.ports.tls, LEVEL, tls={"cafile": "/nowhere"}).open()
    trusted = {"cafile": str(broker.certificate)}
    async with opened(device(broker.ports.tls, LEVEL, tls=trusted, host="localhost")) as found:
        assert (await found.health()).ok
    gc.collect()


async def test_without_aiomqtt_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> None:
    monkeypatch.setitem(sys.modules, "aiomqtt", None)
    with pytest.raises(DeviceError, match=r"pip install 'webmacs\[mqtt\]'"):
        await device(broker.ports.open, LEVEL).open()


async def test_a_message_that_trips_us_up_is_logged_and_the_next_one_is_taken(
    broker: Broker, appliance: Appliance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with opened(device(broker.ports.open, LEVEL)) as found:
        real = found._note

        def stumble(sample: Sample) -> None:
            if sample.value == 1.0:
                raise ZeroDivisionError("a bug")
            real(sample)

        monkeypatch.setattr(found, "_note", stumble)
        appliance.say("plant/level", "1")
        appliance.say("plant/level", "2")
        assert await values(found, 1) == [("level", 2.0)]
    assert "a message on plant/level could not be taken" in caplog.text


async def test_opening_may_be_given_up_while_it_connects() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = device(silent.getsockname()[1], LEVEL, timeout_s=0.5)
        opening = asyncio.create_task(found.open())
        await asyncio.sleep(0.1)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
        await asyncio.wait_for(found.close(), 5)
        assert found._link._given_up == set()
