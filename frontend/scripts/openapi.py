"""Print the server's OpenAPI document, as a server that has just been made would give it."""

from __future__ import annotations

import asyncio
import sys
import tempfile

from aiohttp.test_utils import TestClient, TestServer

from webmacs.app import build_app
from webmacs.config import Settings


async def main() -> None:
    """Start a server on an empty database, and ask it."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings.model_validate(
            {"storage": {"url": f"sqlite:///{directory}/empty.db"}, "auth": {"secret_key": "0" * 32}}
        )
        async with TestClient(TestServer(build_app(settings))) as client:
            sys.stdout.write(await (await client.get("/openapi.json")).text())


asyncio.run(main())
