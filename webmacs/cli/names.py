"""What the ids in readings stand for: names and units of events, names of experiments, asked of the server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from webmacs.cli.feed import fetched
from webmacs.cli.point import Point
from webmacs.cli.printable import SHORT_ID, printable
from webmacs.errors import AuthError, NotFound

EVENTS: Final = "/api/v1/events"
EXPERIMENTS: Final = "/api/v1/experiments"
PAGE_SIZE: Final = 100
MAX_PAGES: Final = 1000
AGAIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Label:
    """How an event is shown."""

    name: str
    unit: str = ""


class Names:
    """Labels by id. A server that offers no such lists leaves the ids as they are."""

    def __init__(self) -> None:
        self._events: Mapping[str, Label] = {}
        self._experiments: Mapping[str, Label] = {}
        self._asked_at = float("-inf")

    def event(self, public_id: str) -> Label:
        """The label of an event."""
        return self._events.get(public_id) or Label(printable(public_id))

    def experiment(self, public_id: str | None) -> str:
        """The name of an experiment; the beginning of its id while that is all we know."""
        if public_id is None:
            return ""
        label = self._experiments.get(public_id)
        return label.name if label else printable(public_id[:SHORT_ID])

    def chosen(self, wanted: Sequence[str]) -> list[str]:
        """The ids of the events that somebody asks for: by id, by name, else all whose names have that text in them.

        While nothing is known of the server's events, what is given is an id.

        Raises:
            NotFound: no event is called like this.

        """
        found: dict[str, None] = {}
        for text in wanted:
            matching = list(self._matching(text)) if self._events else [text]
            if not matching:
                raise NotFound(f"no event is called {text!r}")
            found.update(dict.fromkeys(matching))
        return list(found)

    async def follow(self, points: Iterable[Point], session: aiohttp.ClientSession, where: str, token: str) -> None:
        """Ask again if there are ids among the readings that are not known, but not too often."""
        unknown = any(
            point.event not in self._events or (point.experiment and point.experiment not in self._experiments)
            for point in points
        )
        if unknown and asyncio.get_running_loop().time() - self._asked_at >= AGAIN_S:
            try:
                await self.load(session, where, token)
            except (aiohttp.ClientError, OSError, ValueError, AuthError):
                return  # the readings count; whether we are let in is decided where they come from

    async def load(self, session: aiohttp.ClientSession, where: str, token: str) -> None:
        """Ask the server.

        Raises:
            AuthError: the credential is refused.
            aiohttp.ClientError, OSError, ValueError: the server does not answer.

        """
        self._asked_at = asyncio.get_running_loop().time()
        self._events = await _labels(session, where + EVENTS, token)
        self._experiments = await _labels(session, where + EXPERIMENTS, token)

    def _matching(self, text: str) -> Iterator[str]:
        if text in self._events:
            return iter([text])
        exact = [public_id for public_id, label in self._events.items() if label.name == text]
        if exact:
            return iter(exact)
        part = text.casefold()
        return (public_id for public_id, label in self._events.items() if part in label.name.casefold())


async def _labels(session: aiohttp.ClientSession, url: str, token: str) -> dict[str, Label]:
    """All pages of a list; nothing when the server does not offer it."""
    labels: dict[str, Label] = {}
    for page in range(1, MAX_PAGES + 1):
        try:
            answer: Any = await fetched(session, url, token, page=str(page), page_size=str(PAGE_SIZE))
        except aiohttp.ClientResponseError as error:
            if error.status in {404, 405}:
                return {}
            raise
        listed = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(listed, list) or not listed:
            break
        for item in listed:
            if isinstance(item, dict) and isinstance(item.get("public_id"), str) and isinstance(item.get("name"), str):
                labels[item["public_id"]] = Label(printable(item["name"]), printable(str(item.get("unit") or "")))
        if len(labels) >= (answer["total"] if isinstance(answer.get("total"), int) else math.inf):
            break
    return labels
