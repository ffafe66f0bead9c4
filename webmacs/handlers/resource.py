"""How a resource is written: a method for each route, whose annotations say what it takes and what it gives.

    async def listed(self, call: Call[None, PageQuery]) -> Page[EventShape]: ...
    async def add(self, call: Call[NewEvent]) -> Done: ...

Body and query are validated before the method is called, and what it returns becomes JSON. The OpenAPI document is made
from the same annotations, so it cannot say anything else.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import json
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, Final, Generic, TypeVar, get_args, get_origin, get_type_hints

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError, WithJsonSchema
from typing_extensions import TypedDict
from typing_extensions import TypeVar as TypeVarWithDefault

from webmacs.config import explain
from webmacs.errors import Conflict, InvalidMessage, NotFound
from webmacs.model import Actor, Identity, Role, Scope, to_datetime

B = TypeVarWithDefault("B", default=None)
Q = TypeVarWithDefault("Q", default=None)
M = TypeVar("M", bound=BaseModel)
S = TypeVar("S")
T = TypeVar("T")

MAX_PAGE: Final = 2**31
MAX_PAGE_SIZE: Final = 100

Text = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
"""A short text. PostgreSQL takes no U+0000."""

Number = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number; numbers in quotes are taken, too."""

Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time as REST writes it; see `timestamp`."""


def _whole(most: int) -> BeforeValidator:
    """A number as a query has it."""

    def read(text: object) -> int:
        digits = str(text)
        if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(most)) and 1 <= int(digits) <= most):
            raise ValueError(f"must be a whole number from 1 to {most}")
        return int(digits)

    return BeforeValidator(read)


class PageQuery(BaseModel):
    """Which page of a list, and how long a page is."""

    page: Annotated[int, Field(ge=1, le=MAX_PAGE), _whole(MAX_PAGE)] = 1
    page_size: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE), _whole(MAX_PAGE_SIZE)] = 25

    @property
    def offset(self) -> int:
        """How many items come before the page."""
        return (self.page - 1) * self.page_size

    def of(self, items: Collection[S], shape: Callable[[S], T]) -> Page[T]:
        """This page of a list that is in memory; `shape` is what is shown of one of them."""
        page = islice(items, self.offset, self.offset + self.page_size)
        return self.holding([shape(item) for item in page], len(items))

    def holding(self, items: Sequence[T], total: int) -> Page[T]:
        """This page, of a list of so many items."""
        return {"page": self.page, "page_size": self.page_size, "total": total, "data": list(items)}


class Page(TypedDict, Generic[T]):
    """A page of a list; one past the end has no items."""

    page: int
    page_size: int
    total: int
    data: list[T]


class Done(TypedDict):
    """The answer to most writes."""

    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Encoded(Generic[T]):
    """An answer that is JSON already: one so long that it is encoded in parts, between which others have their turn."""

    body: bytes


def unset() -> Any:
    """The default of what a change may leave out. It is never looked at: see `changes`."""
    return Field(default_factory=lambda: None)


def changes(body: BaseModel) -> dict[str, Any]:
    """What the body of a change names, and nothing else, as the storage takes it."""
    return {name: _plain(getattr(body, name)) for name in body.model_fields_set}


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    return int(value) if isinstance(value, bool) else value


def parsed(text: str) -> object:
    """What a text of JSON holds. Raises `ValueError` for what is none, and for NaN, which browsers refuse."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


@contextmanager
def unique(taken: str) -> Iterator[None]:
    """Around a write that fails when a name is taken: says so in words, not in the storage's."""
    try:
        yield
    except Conflict:
        raise Conflict(taken) from None


def done(message: str) -> Done:
    """It is done, and stored."""
    return {"status": "success", "message": message}


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """One request: who makes it, what is in its body and in its query, both validated."""

    request: web.Request
    caller: Identity | None
    body: B
    query: Q

    @property
    def identity(self) -> Identity:
        """Who calls; there is somebody on every route that needs a role."""
        assert self.caller is not None, "the route is open to everyone"
        return self.caller

    @property
    def actor(self) -> Actor:
        """What the audit log calls who calls."""
        return self.identity.actor

    def named(self, part: str = "public_id") -> str:
        """A part of the path. Raises `NotFound` for what names nothing: PostgreSQL takes no U+0000."""
        text = self.request.match_info[part]
        if "\0" in text:
            raise NotFound("there is nothing called that")
        return text


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]
Guard = Callable[[Identity, web.Request], Awaitable[None] | None]


@dataclass(frozen=True)
class Endpoint:
    """A route, and what its handler's annotations say. `needs` None: open to everyone. `scope` is that of an API token
    which will do. `fails` are the statuses of its own errors, beside those that every route has; `media` is the type of
    an answer that is no JSON. `guard` raises `AuthError` for whom it is not open to after all, before anything else of
    the request is looked at. `limited`: it counts among the requests that a client may make in a minute. `own`: a token
    of scope `ingest` that is bound to a plugin instance will do as well, and is answered with what is that instance's.
    """

    method: str
    path: str
    handler: Handler
    needs: Role | None
    status: int
    fails: tuple[int, ...]
    media: str = "application/json"
    guard: Guard | None = None
    scope: Scope = Scope.FULL
    limited: bool = True
    own: bool = False

    @property
    def scopes(self) -> list[Scope]:
        """The scopes of API tokens that are let in; with `own`, not all of scope `ingest`."""
        return [scope for scope in Scope if scope.covers(self.scope) or (self.own and scope is Scope.INGEST)]

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.handler, include_extras=True)

    @cached_property
    def _parts(self) -> tuple[Any, ...]:
        call = self._hints[next(iter(inspect.signature(self.handler).parameters))]
        parts = tuple(None if part is type(None) else part for part in get_args(call))
        return (*parts, None, None)[:2]

    @property
    def takes(self) -> type[BaseModel] | None:
        """The model of the body."""
        body: type[BaseModel] | None = get_args(self._parts[0])[-1] if self._raw else self._parts[0]
        return body

    @property
    def _raw(self) -> bool:
        """`Annotated[dict[str, Any], Model]`: the model describes the body, and somebody else judges it."""
        return get_origin(self._parts[0]) is Annotated

    @property
    def asks(self) -> type[BaseModel] | None:
        """The model of the query."""
        query: type[BaseModel] | None = self._parts[1]
        return query

    @cached_property
    def gives(self) -> TypeAdapter[Any] | None:
        """What is returned; None where that is a response already."""
        result = self._hints["return"]
        kind = get_origin(result) or result
        if isinstance(kind, type) and issubclass(kind, web.StreamResponse):
            return None
        return TypeAdapter(get_args(result)[0] if kind is Encoded else result)

    async def respond(self, request: web.Request, caller: Identity | None, body_timeout_s: float) -> web.StreamResponse:
        """Validate, call, answer. Raises `InvalidMessage` (422) and whatever guard and handler raise."""
        if self.guard is not None and caller is not None:
            looks = self.guard(caller, request)
            if looks is not None:
                await looks
        query = None if self.asks is None else _valid(self.asks, dict(request.query))
        body = None if self.takes is None else await self._body(request, self.takes, body_timeout_s)
        result = await self.handler(Call(request, caller, body, query))
        if self.gives is None:
            response: web.StreamResponse = result
            return response
        answer = result.body if isinstance(result, Encoded) else self.gives.dump_json(result)
        return web.Response(body=answer, status=self.status, content_type="application/json")

    async def _body(self, request: web.Request, model: type[BaseModel], timeout_s: float) -> object:
        body = await _json_object(request, timeout_s)
        return body if self._raw else _valid(model, body)


async def _json_object(request: web.Request, timeout_s: float) -> dict[str, Any]:
    """The body as a JSON object in UTF-8. Raises `InvalidMessage` (422), 408 when it takes too long, 413 by aiohttp."""
    if request.content_type != "application/json":
        raise InvalidMessage("The body must be JSON, with Content-Type: application/json")
    try:
        async with asyncio.timeout(timeout_s):
            raw = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    try:
        body = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise InvalidMessage("Invalid JSON") from None
    if not isinstance(body, dict):
        raise InvalidMessage("The body must be a JSON object")
    return body


def timestamp(time_us: int) -> str:
    """A time as REST writes it: UTC, `Z`, six digits of fraction or none."""
    return to_datetime(time_us).isoformat().replace("+00:00", "Z")


def _valid(model: type[M], value: dict[str, Any]) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidMessage(explain(error)) from None
