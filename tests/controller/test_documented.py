"""The scripts in docs/controller.md, run as they stand there against a real server."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.cli.process import bare_environment
from tests.faults.ledger import stored_values
from tests.plant import Server
from webmacs.model import Role

TEXT = (Path(__file__).parent.parent.parent / "docs" / "controller.md").read_text("utf-8")
SCRIPTS = re.findall(r"(?s)```python\n(.*?)```", TEXT)


@pytest.mark.parametrize("script", SCRIPTS, ids=["asynchronous", "blocking"])
async def test_a_script_of_the_documents_sends_its_value(server: Server, script: str) -> None:
    for placeholder, meant in (
        ("http://127.0.0.1:8000", server.address),
        ("wm_…", server.plant.tokens[Role.OPERATOR]),
        ("the-id-of-an-event", server.plant.linked[0]),
    ):
        assert placeholder in script
        script = script.replace(placeholder, meant)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", script),
        env=bare_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        said, complained = await process.communicate()
    assert (process.returncode, complained.decode()) == (0, "")
    assert said.decode().strip() in {"", "1"}
    assert await stored_values(server.parts.storage) == {23.5: 1}
