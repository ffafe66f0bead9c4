"""What a controller costs: memory and processor, with 50 channels read twice a second, as its server has it.

python -m benchmarks.controller [--seconds 60] [--channels 50] [--interval 0.5]
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from pathlib import Path

import psutil

from tests.controller.process import ControllerProcess
from tests.controller.stored import stored_rows
from tests.faults.process import ServerProcess
from tests.plant import furnish, settings_for
from webmacs.extensions import load_storage
from webmacs.model import Role

WARM_UP_S = 5.0
EVERY_S = 0.5


async def measure(directory: Path, channels: int, interval_s: float, seconds: float) -> str:
    """One line of figures."""
    url = f"sqlite:///{directory / 'server.db'}"
    storage = load_storage(settings_for(url, directory))
    await storage.open()
    (directory / "server").mkdir()
    server = ServerProcess(url, directory / "server")
    try:
        plant = await furnish(storage, events=channels)
        await server.start()
        await server.until_it_listens()
        token = plant.tokens[Role.ADMIN]
        controller = ControllerProcess(server.address, token, directory, interval_s=interval_s, noted=False)
        await controller.start()
        try:
            assert controller.process is not None
            await asyncio.sleep(WARM_UP_S)
            process = psutil.Process(controller.process.pid)
            used = process.cpu_times()
            memory = 0
            for _ in range(round(seconds / EVERY_S)):
                await asyncio.sleep(EVERY_S)
                memory = max(memory, process.memory_info().rss)
            now = process.cpu_times()
            share = (now.user + now.system - used.user - used.system) / seconds
            await controller.end(signal.SIGTERM)
        finally:
            await controller.end()
        rows = len(await stored_rows(storage))
    finally:
        await server.end()
        await storage.close()
    rate = channels / interval_s
    return (
        f"{channels} channels every {interval_s:g} s ({rate:.0f} readings/s): {memory / 2**20:.1f} MiB at the most,"
        f" {share:.1%} of a core over {seconds:.0f} s; {rows:,} readings stored"
    )


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--channels", type=int, default=50)
    parser.add_argument("--interval", type=float, default=0.5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print(asyncio.run(measure(Path(directory), chosen.channels, chosen.interval, chosen.seconds)))


if __name__ == "__main__":
    main()
