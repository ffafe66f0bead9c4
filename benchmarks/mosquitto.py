"""Mosquitto in a process of its own: what fan-out is measured beside."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from benchmarks import mqtt
from benchmarks.server import free_port

START_TIMEOUT_S: Final = 10.0
QUEUE: Final = 100_000  # messages for one subscriber: none is to be dropped for want of room


def find_mosquitto() -> Path | None:
    """On the path, or where Debian has the programs of services; None where there is none."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    return None if found is None else Path(found)


def version(program: Path) -> str:
    """As it says itself."""
    said = subprocess.run([program, "-h"], check=False, capture_output=True, text=True).stdout
    found = re.search(r"version ([\d.]+)", said)
    return f"Mosquitto {found[1] if found else '?'}"


@contextmanager
def running(program: Path, directory: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Its port and its process; it keeps nothing and writes no log.

    Raises:
        RuntimeError: it did not start; with what it said.

    """
    port = free_port()
    config, log = directory / "mosquitto.conf", directory / "mosquitto.log"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n"
        f"max_queued_messages {QUEUE}\nlog_dest none\n"
    )
    with log.open("ab") as output:
        process = subprocess.Popen([program, "-c", config], stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                mqtt.connect(port, "first").close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Mosquitto did not start: {log.read_text()}") from None
                time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
