"""What the documents invite a newcomer to type, typed."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from socket import socket

from tests.parts import require

ROOT = Path(__file__).parent.parent


def tour() -> str:
    """What the documents invite to type while the demonstration runs, with our own interpreter's programs."""
    documents = (ROOT / "README.md", ROOT / "docs" / "operations.md")
    blocks = [
        block
        for document in documents
        for block in re.findall(r"(?s)<!-- tour -->\n```sh\n(.*?)```", document.read_text(encoding="utf-8"))
    ]
    assert blocks
    return "\n".join(["set -eu", *blocks])


async def test_the_tour_of_the_documents_works_beside_the_demonstration(tmp_path: Path) -> None:
    require("curl", "apt-get install curl")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = await asyncio.create_subprocess_exec(
        *(".venv/bin/webmacs", "demo", "--port", str(port)), cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    assert demo.stdout is not None
    try:
        async with asyncio.timeout(60):
            while b"running" not in (line := await demo.stdout.readline()):
                assert line, "the demonstration ended"
        script = tour().replace("localhost:8000", f"localhost:{port}")
        visitor = await asyncio.create_subprocess_exec(
            *("sh", "-c", script), cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(60):
            said = (await visitor.communicate())[0].decode()
    finally:
        demo.terminate()
        await demo.communicate()
    assert visitor.returncode == 0, said
    assert "1 datapoint accepted" in said
    with closing(sqlite3.connect(tmp_path / "demo" / "backup.db")) as backup:
        assert backup.execute("SELECT count(*) FROM readings WHERE value = 42").fetchall() == [(1,)]
