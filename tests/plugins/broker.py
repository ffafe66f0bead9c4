"""Mosquitto as a process of its own on loopback, with an open listener, one behind passwords and one behind TLS."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conftest import self_signed
from tests.parts import require

USER: Final = "controller"
PASSWORD: Final = "a password of the broker"
CONFIGURATION: Final = """\
per_listener_settings true
log_dest none
user {user}
listener {open} 127.0.0.1
allow_anonymous true
listener {guarded} 127.0.0.1
password_file {directory}/passwords
listener {tls} 127.0.0.1
allow_anonymous true
certfile {certificate}
keyfile {key}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the broker listens."""

    open: int
    guarded: int
    tls: int


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Broker:
    """One that can be stopped and started again at the same ports."""

    def __init__(self, directory: Path) -> None:
        self._program = require("mosquitto", "apt-get install mosquitto")
        self._directory = directory
        self.ports = Ports(*free_ports(3))
        self.certificate = self_signed(directory)
        self._process: subprocess.Popen[bytes] | None = None
        passwords = directory / "passwords"
        passwords.write_text(f"{USER}:{PASSWORD}\n")
        subprocess.run([require("mosquitto_passwd", "apt-get install mosquitto"), "-U", passwords], check=True)
        configuration = CONFIGURATION.format(
            user="root" if os.geteuid() == 0 else "",
            directory=directory,
            certificate=self.certificate,
            key=self.certificate.with_suffix(".key"),
            open=self.ports.open,
            guarded=self.ports.guarded,
            tls=self.ports.tls,
        )
        lines = [line for line in configuration.splitlines() if line != "user "]
        (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", self._directory / "mosquitto.conf"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.ports.tls), 1):
                return
            assert self._process.poll() is None, "mosquitto has ended; its configuration is wrong"
            time.sleep(0.05)
        raise AssertionError("mosquitto does not listen")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def mosquitto(directory: Path) -> Iterator[Broker]:
    broker = Broker(directory)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
