"""From a login to an experiment with an alarm and a CSV file, over HTTP alone.

    python examples/experiment.py http://localhost:8000 admin@webmacs.example PASSWORD --take-over

Needs httpx, an administrator's account, and a server that may call this very machine: its `webhooks.allowed_networks`
has "127.0.0.0/8", as that of `make demo` has. What is made stays, to be looked at, but for the rule and the webhook.
One experiment runs at a time; with --take-over, one that runs is stopped.
"""

from __future__ import annotations

import argparse
import base64
import csv
import getpass
import hashlib
import hmac
import json
import math
import queue
import secrets
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

SENSORS = {  # by the name of the event: which channel of the device measures it, its unit and range
    "Temperature": ("temp_reactor", "°C", 20.0, 500.0),
    "Pressure": ("pressure_chamber", "bar", 0.0, 6.0),
}
LIMIT = 80.0  # of the temperature; above it there is an alarm
POLLS, INTERVAL_S = 20, 0.05
ATTEMPTS = 3
PATIENCE_S = 30
CLOCKS_DIFFER_S = 300.0


class Failed(Exception):
    """Why it does not go on; the text is for a person."""


class Api:
    """The server's interface: a request, its answer as Python has it, and an error that says what was wrong."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.Client(base_url=f"{url.rstrip('/')}/api/v1", timeout=30.0)

    def login(self, email: str, password: str) -> None:
        """Every request after this one is that user's."""
        token = self("POST", "/auth/login", {"email": email, "password": password})["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        """One request, with a JSON body if one is given. Raises `Failed`."""
        try:
            response = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise Failed(f"no answer from {self._url}: {error}") from error
        if not response.is_success:
            raise Failed(f"{method} {path} was answered {response.status_code}: {_detail(response)}")
        try:
            return response.json()
        except ValueError as error:
            raise Failed(f"{self._url} answers, but is no WebMACS server") from error

    def items(self, path: str) -> Iterator[dict[str, Any]]:
        """All items of a list, which comes in pages."""
        page, seen = 1, 0
        while True:
            answer = self("GET", f"{path}?page={page}&page_size=100")
            yield from answer["data"]
            page, seen = page + 1, seen + len(answer["data"])
            if not answer["data"] or seen >= answer["total"]:
                return

    def find(self, path: str, **wanted: object) -> dict[str, Any]:
        """The first item of a list that is like that. What adds something does not say its id; its name finds it."""
        for item in self.items(path):
            if wanted.items() <= item.items():
                return item
        raise Failed(f"nothing in {path} is like {wanted}")

    def send(self, datapoints: list[dict[str, object]]) -> None:
        """Push a batch. It has an id, so it can be sent again when no answer came, and is stored once nevertheless."""
        body = {"datapoints": datapoints, "batch_id": str(uuid.uuid4())}
        for left in reversed(range(ATTEMPTS)):
            try:
                response = self._http.post("/datapoints/batch", json=body)
            except httpx.TransportError as error:
                problem = str(error)
            else:
                if response.is_success and response.json()["accepted"] == len(datapoints):
                    return
                problem = f"{response.status_code}, {_detail(response)}"
                if response.is_success or response.is_client_error:
                    break  # it would not help to say it again
            if left:
                time.sleep(1.0)
        raise Failed(f"a batch was not stored: {problem}")

    def download(self, path: str, target: Path) -> None:
        """Write an answer into a file, however long it is."""
        with self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                raise Failed(f"GET {path} was answered {response.status_code}: {_detail(response)}")
            with target.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()


def _detail(response: httpx.Response) -> str:
    try:
        answer = response.json()
    except ValueError:
        return response.reason_phrase
    return str(answer.get("detail") or answer.get("message")) if isinstance(answer, dict) else response.reason_phrase


class Receiver:
    """What the server calls: checks who calls, and keeps what is said until somebody waits for it."""

    def __init__(self, address: str, secret: str) -> None:
        calls: queue.Queue[dict[str, Any]] = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                genuine = is_genuine(self.headers, body, secret)
                if genuine:
                    calls.put(json.loads(body))
                self.send_response(204 if genuine else 401)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing; the walk says what was received."""

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._calls = calls
        self.url = f"http://{address}:{self._server.server_port}/alarm"

    def wait(self, wanted: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any] | None:
        """The next call that is wanted; None when none comes so soon."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                call = self._calls.get(timeout=left)
            except queue.Empty:
                break
            if wanted(call):
                return call
        return None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Receive, in a thread, until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def is_genuine(headers: Message, body: bytes, secret: str) -> bool:
    """Whether somebody who knows the secret has signed this, and not long ago (https://www.standardwebhooks.com)."""
    delivery, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > CLOCKS_DIFFER_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256)
    expected = f"v1,{base64.b64encode(digest).decode()}"
    given = headers.get("webhook-signature", "").split()  # two, while a secret is being replaced
    return any(hmac.compare_digest(expected.encode(), signature.encode()) for signature in given)


def make_room(api: Api, *, take_over: bool) -> None:
    """See to it that no experiment runs. Raises `Failed` when one does that may not be stopped."""
    for experiment in api.items("/experiments"):
        if experiment["stopped_on"] is None:
            if not take_over:
                raise Failed(f"experiment {experiment['name']!r} is running; stop it, or say --take-over")
            api("PUT", f"/experiments/{experiment['public_id']}/stop")
            say(f"the experiment {experiment['name']!r} was running and is stopped")


def walk(api: Api, receiver: Receiver, secret: str, target: Path) -> None:
    """Everything, step by step. Raises `Failed`."""
    name = f"Example {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}"

    say(f"a device called {name!r}, of the kind that is only simulated")
    device = {"plugin_id": "simulated", "instance_name": name, "demo_mode": True, "auto_create_events": False}
    api("POST", "/plugins", device)
    plugin = api.find("/plugins", instance_name=name)["public_id"]
    channels = {channel["channel_id"]: channel for channel in api("GET", f"/plugins/{plugin}/channels")}

    say(f"{len(SENSORS)} events, each linked to a channel of the device; readings of others are not accepted")
    events = {}
    for quantity, (channel, unit, low, high) in SENSORS.items():
        event = f"{name} {quantity}"
        body = {"name": event, "min_value": low, "max_value": high, "unit": unit, "type": "sensor"}
        api("POST", "/events", body)
        events[quantity] = api.find("/events", name=event)["public_id"]
        link = {"event_public_id": events[quantity]}
        api("PUT", f"/plugins/{plugin}/channels/{channels[channel]['public_id']}", link)

    say(f"a rule: more than {LIMIT:g} °C is an alarm")
    rule = {"name": name, "event_public_id": events["Temperature"], "operator": "gt", "threshold": LIMIT}
    api("POST", "/rules", {**rule, "action_type": "webhook"})
    rule_id = api.find("/rules", name=name)["public_id"]
    try:
        say(f"a webhook: alarms are told to {receiver.url}, signed")
        wanted = ["sensor.threshold_exceeded", "experiment.started", "experiment.stopped"]
        api("POST", "/webhooks", {"url": receiver.url, "events": wanted, "secret": secret})
        webhook = api.find("/webhooks", url=receiver.url)["public_id"]
        try:
            run(api, receiver, name, events, webhook, target)
        finally:
            api("DELETE", f"/webhooks/{webhook}")
    finally:
        api("DELETE", f"/rules/{rule_id}")
    say("rule and webhook are removed; device, events, readings and experiment stay")


def run(api: Api, receiver: Receiver, name: str, events: Mapping[str, str], webhook: str, target: Path) -> None:
    """The experiment itself."""
    say(f"the experiment {name!r} starts")
    api("POST", "/experiments", {"name": name})
    experiment = api.find("/experiments", name=name)["public_id"]
    try:
        say(f"{POLLS} batches of {len(events)} readings each")
        for number in range(POLLS):
            heat = math.sin(math.pi * number / (POLLS - 1))
            values = {"Temperature": 20.0 + 75.0 * heat, "Pressure": 1.0 + 2.5 * heat}
            api.send([{"value": values[quantity], "event_public_id": events[quantity]} for quantity in events])
            time.sleep(INTERVAL_S)
        alarm = told(api, receiver, webhook, lambda call: call.get("rule") == name)
        say(f"the alarm has arrived, its signature is good: {alarm['value']:g} °C at {alarm['time']}")
    finally:
        api("PUT", f"/experiments/{experiment}/stop")
    told(api, receiver, webhook, lambda call: call["type"] == "experiment.stopped" and call["experiment"] == name)
    say("the experiment is stopped, of which the webhook was told, too")

    api.download(f"/experiments/{experiment}/export/csv", target)
    with target.open(encoding="utf-8", newline="") as file:
        readings = [row["event_public_id"] for row in csv.DictReader(file)]
    ours = sum(event in events.values() for event in readings)
    if ours != POLLS * len(events):
        raise Failed(f"{target} has {ours} of the {POLLS * len(events)} readings that were sent")
    say(f"{len(readings)} readings are in {target}, {ours} of them ours: other devices may have measured meanwhile")

    asked = {"event_public_ids": list(events.values()), "minutes": 5, "max_points": 100}
    series = api("POST", "/datapoints/series", asked)
    for quantity, event in events.items():
        values_seen = [point["value"] for point in series[event]]
        if not values_seen:
            raise Failed(f"there is no series of {quantity}")
        unit = SENSORS[quantity][1]
        say(f"{quantity} in {len(values_seen)} points: {min(values_seen):.1f} to {max(values_seen):.1f} {unit}")


def told(api: Api, receiver: Receiver, webhook: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the receiver was told. Raises `Failed` with the reason that the server knows, when nothing came."""
    for _ in range(PATIENCE_S):
        call = receiver.wait(wanted, 1.0)
        if call is not None:
            return call
        deliveries = api("GET", f"/webhooks/{webhook}/deliveries")["data"]
        problems = {delivery["last_error"] for delivery in deliveries if delivery["last_error"]}
        if problems:
            raise Failed(f"the webhook cannot be called: {'; '.join(sorted(problems))}")
    raise Failed(f"the webhook was not called in {PATIENCE_S} s")


def say(what: str) -> None:
    """A step, for those who watch."""
    print(f"- {what}", flush=True)


def main() -> None:
    """Read the command line, walk, and say in one line what went wrong if anything did."""
    parser = argparse.ArgumentParser(description="From a login to an experiment with an alarm and a CSV file.")
    parser.add_argument("url", help="of the server, like http://localhost:8000")
    parser.add_argument("email", help="of an administrator")
    parser.add_argument("password", nargs="?", help="asked for when it is not given")
    parser.add_argument("--csv", type=Path, default=Path("experiment.csv"), metavar="FILE", help="experiment.csv")
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS", help="where the server can call us")
    parser.add_argument("--take-over", action="store_true", help="stop an experiment that runs")
    given = parser.parse_args()
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    try:
        receiver = Receiver(given.listen, secret)
        with receiver.running(), closing(Api(given.url)) as api:
            say(f"log in at {given.url} as {given.email}")
            api.login(given.email, given.password or getpass.getpass())
            try:
                make_room(api, take_over=given.take_over)
                walk(api, receiver, secret, given.csv)
            finally:
                api("POST", "/auth/logout")
    except (Failed, OSError, httpx.InvalidURL) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
