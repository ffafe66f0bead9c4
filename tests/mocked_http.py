"""aioresponses on aiohttp 3.14, for answers that no server here can be made to give.

Since 3.14 a response takes a `stream_writer`, which aioresponses 0.7 does not pass; this one place mends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import aiohttp
from aioresponses import aioresponses


class MockedResponse(aiohttp.ClientResponse):
    """What aioresponses makes its answers of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


class Mocked:
    """Answers by address; whatever is not named is refused as a connection."""

    def __init__(self, mock: aioresponses) -> None:
        self._mock = mock

    def get(self, url: str, **answer: Any) -> None:
        """Answer one GET of that address, query included."""
        self._mock.get(url, response_class=MockedResponse, **answer)


@contextmanager
def mocked_http() -> Iterator[Mocked]:
    """Every request of aiohttp's client inside goes nowhere."""
    with aioresponses() as mock:
        yield Mocked(mock)
