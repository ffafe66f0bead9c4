"""A furnished server in a process of its own, for tests that wait for its answers.

`python -m tests.handlers.subject URL DIRECTORY` says in a line of JSON where it is and what there is to ask for, and
ends when nothing more can come.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.handlers.rest import API, DASHBOARDS, EXPERIMENTS, PLUGINS, RULES, WEBHOOKS, made, posted, rest, told
from tests.plant import furnished_server
from webmacs.model import Role

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Subject:
    """Where it is, an administrator's credentials, and by resource the id of one that is there."""

    address: str
    token: str
    session: str
    known: dict[str, str]


@contextmanager
def asked(url: str, directory: Path) -> Iterator[Subject]:
    """Serve until the end of the block."""
    command = [sys.executable, "-m", "tests.handlers.subject", url, str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Subject(**json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(60) == 0


async def serve(url: str, directory: Path) -> None:
    async with furnished_server(url, directory) as server:
        await posted(server, 1.0)
        known = {
            "events": server.plant.linked[0],
            "experiments": server.plant.experiment,
            "rules": (await made(server, RULES))["public_id"],
            "webhooks": (await made(server, WEBHOOKS))["public_id"],
            "dashboards": (await made(server, DASHBOARDS))["public_id"],
            "users": (await rest(server, "GET", f"{API}/auth/me", role=Role.VIEWER)).body["public_id"],
        }
        await posted(server, 90.0, event=1)  # the webhook is told
        known["delivery_id"] = (await told(server, known["webhooks"]))[0]["public_id"]
        widgets = f"{DASHBOARDS.path}/{known['dashboards']}/widgets"
        widget = await rest(server, "POST", widgets, {"widget_type": "gauge", "title": "a gauge"})
        known["widget_id"] = widget.body["public_id"]
        note = await rest(server, "POST", f"{EXPERIMENTS.path}/{known['experiments']}/notes", {"text": "a note"})
        known["note_id"] = note.body["public_id"]
        plugin = await made(server, PLUGINS)
        known |= {"plugins": plugin["public_id"], "mapping_id": plugin["channel_mappings"][0]["public_id"]}
        session = await server.login()
        known["logging"] = (await rest(server, "GET", f"{API}/logging")).body["data"][0]["public_id"]
        subject = Subject(server.address, server.plant.tokens[Role.ADMIN], session, known)
        sys.stdout.write(f"{json.dumps(asdict(subject))}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
