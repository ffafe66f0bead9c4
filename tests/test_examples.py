"""What lies in `examples/` works, as processes against a real server."""

from __future__ import annotations

import asyncio
import csv
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from pathlib import Path

from tests.cli.process import Ended, bare_environment
from tests.handlers.rest import API, everything, stop_all
from tests.plant import PASSWORD, Server, furnished_server
from tests.wire import call
from webmacs.model import Role

EXAMPLES = Path(__file__).parent.parent / "examples"
LOOPBACK = {"allowed_networks": ["127.0.0.0/8"]}
STEPS = [
    "log in at",
    "the experiment 'Run 1' was running and is stopped",
    "a device called",
    "2 events, each linked",
    "a rule: more than 80 °C",
    "a webhook: alarms are told to",
    "the experiment 'Example .*' starts",
    "20 batches of 2 readings",
    "the alarm has arrived, its signature is good: 8",
    "the experiment is stopped",
    "40 readings are in experiment.csv, 40 of them ours",
    r"Temperature in 20 points: 20.0 to 9\d.\d °C",
    r"Pressure in 20 points: 1.0 to 3.\d bar",
    "rule and webhook are removed",
]


async def experiment(
    server: Server, directory: Path, *more: str, password: str = PASSWORD, role: Role = Role.ADMIN
) -> Ended:
    return await example("experiment.py", [server.address, server.plant.emails[role], password, *more], directory)


async def example(name: str, arguments: Sequence[str], directory: Path) -> Ended:
    """How it ends, started in that directory."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / name), *arguments),
        cwd=directory,
        env=bare_environment(),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(120):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def test_from_a_login_to_an_experiment_with_an_alarm_and_a_csv_file(storage_url: str, tmp_path: Path) -> None:
    async with furnished_server(storage_url, tmp_path, webhooks=LOOPBACK) as server:
        ended = await experiment(server, tmp_path)
        assert ended.complaint == "experiment 'Run 1' is running; stop it, or say --take-over"
        assert len(await everything(server, f"{API}/plugins")) == 1  # nothing was made
        ended = await experiment(server, tmp_path, "--take-over")
        assert (ended.code, ended.err) == (0, "")
        said = ended.out.splitlines()
        assert len(said) == len(STEPS)
        assert [line for line, step in zip(said, STEPS, strict=True) if not re.match(f"- {step}", line)] == []

        run = (await everything(server, f"{API}/experiments"))[-1]
        assert run["name"].startswith("Example ")
        assert run["stopped_on"] is not None
        exported = await call(server, "GET", f"{API}/experiments/{run['public_id']}/export/csv", viewer(server))
        assert (tmp_path / "experiment.csv").read_bytes() == exported.body
        rows = list(csv.DictReader(exported.body.decode().splitlines()))
        assert {row["event_name"] for row in rows} == {f"{run['name']} Temperature", f"{run['name']} Pressure"}
        assert len(rows) == 40
        for left_behind in ("rules", "webhooks"):
            assert await everything(server, f"{API}/{left_behind}") == []
        assert len(server.parts.catalog.current.revoked) == 2  # both have logged out


async def test_what_is_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    async with furnished_server(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as server:
        await stop_all(server)
        ended = await experiment(server, tmp_path, password="wrong")
        assert ended.complaint == "POST /auth/login was answered 401: Incorrect email or password"
        ended = await experiment(server, tmp_path, role=Role.OPERATOR)
        assert ended.complaint == "POST /plugins was answered 403: Insufficient permissions"
        ended = await experiment(server, tmp_path)
        assert ended.complaint.startswith("the webhook cannot be called: ")
        assert "webhooks.allowed_networks" in ended.complaint
        for left_behind in ("rules", "webhooks"):
            assert await everything(server, f"{API}/{left_behind}") == []
        running = [one for one in await everything(server, f"{API}/experiments") if one["stopped_on"] is None]
        assert running == []
        address = server.address
    ended = await example("experiment.py", [address, "a@b.example", "x"], tmp_path)
    assert ended.complaint.startswith(f"no answer from {address}: ")
    ended = await example("experiment.py", ["nonsense", "a@b.example", "x"], tmp_path)
    assert ended.complaint.startswith("no answer from nonsense: ")


def viewer(server: Server) -> str:
    return server.plant.tokens[Role.VIEWER]
