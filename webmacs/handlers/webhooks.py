"""`/webhooks`: who is told, and what became of it."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypedDict
from yarl import URL

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import Conflict
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import Call, Done, Page, PageQuery, Timestamp, changes, done, timestamp, unique, unset
from webmacs.model import Delivery, DeliveryStatus, NewDelivery, Role, Webhook, WebhookEvent
from webmacs.storage import deliveries, webhooks
from webmacs.storage.base import Storage
from webmacs.webhooks.message import trial
from webmacs.webhooks.outbox import Outbox

TAKEN: Final = "there is a webhook with that url already"


def _callable(text: str) -> str:
    try:
        url = URL(text)
    except ValueError:
        raise ValueError("cannot be read as a URL") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("must begin with http:// or https://, and name a host")
    return text


def _spelled(text: str) -> str:
    WebhookEvent.spelled(text)
    return text


Url = Annotated[
    str, Field(min_length=1, max_length=2048, pattern=r"^https?://[^\x00-\x20]+$"), AfterValidator(_callable)
]
EventType = Annotated[str, Field(max_length=50), AfterValidator(_spelled)]
Secret = Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")]


class WebhookShape(TypedDict):
    """A webhook. Its secret is never shown."""

    public_id: str
    url: str
    events: list[str]
    enabled: bool
    created_on: Timestamp
    user_public_id: str


class DeliveryShape(TypedDict):
    """A delivery, without its payload."""

    public_id: str
    event_type: str
    status: DeliveryStatus
    attempts: int
    last_error: str | None
    response_code: int | None
    created_on: Timestamp
    delivered_on: Timestamp | None


class NewWebhook(BaseModel):
    """A new webhook; events in either spelling."""

    url: Url
    events: Annotated[list[EventType], Field(min_length=1, max_length=20)]
    secret: Secret | None = None
    enabled: bool = True


class WebhookChange(BaseModel):
    """What changes; the rest stays. `secret` null removes it."""

    url: Url = unset()
    events: Annotated[list[EventType], Field(max_length=20)] = unset()
    secret: Secret | None = unset()
    enabled: bool = unset()


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    status: DeliveryStatus | None = None


class WebhookRoutes:
    """The handlers of the resource."""

    def __init__(self, storage: Storage, catalog: Catalog, outbox: Outbox, clock: Clock) -> None:
        self._storage, self._catalog, self._outbox, self._clock = storage, catalog, outbox, clock

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every, one = f"{PREFIX}/webhooks", f"{PREFIX}/webhooks/{{public_id}}"
        routes.add("GET", every, self.listed, needs=Role.ADMIN)
        routes.add("POST", every, self.add, needs=Role.ADMIN, status=201, fails=(409,))
        routes.add("GET", one, self.show, needs=Role.ADMIN)
        routes.add("PUT", one, self.change, needs=Role.ADMIN, fails=(409,))
        routes.add("DELETE", one, self.remove, needs=Role.ADMIN)
        routes.add("POST", f"{one}/test", self.test, needs=Role.ADMIN, status=201, fails=(409,))
        routes.add("GET", f"{one}/deliveries", self.deliveries, needs=Role.ADMIN)
        routes.add("POST", f"{one}/deliveries/{{delivery_id}}/redeliver", self.redeliver, needs=Role.ADMIN)

    async def listed(self, call: Call[None, PageQuery]) -> Page[WebhookShape]:
        """A page of webhooks, the oldest first."""
        return call.query.of(self._catalog.current.webhooks, self._shape)

    async def add(self, call: Call[NewWebhook]) -> Done:
        """Add a webhook."""
        new = call.body
        with unique(TAKEN):
            await webhooks.add_webhook(
                self._storage.signed(call.actor),
                url=new.url,
                events=new.events,
                secret=new.secret or None,
                enabled=new.enabled,
                user_id=call.identity.user.id,
                now_us=self._clock.now_us(),
            )
        await self._catalog.reload()
        return done("webhook added")

    async def show(self, call: Call) -> WebhookShape:
        """One webhook."""
        return self._shape(await webhooks.webhook(self._storage, call.named()))

    async def change(self, call: Call[WebhookChange]) -> Done:
        """Change a webhook. Another secret holds at once; `webmacs webhook rotate` keeps the old one for a while."""
        changed = changes(call.body)
        if "secret" in changed:
            changed |= {"secret": changed["secret"] or None, "old_secret": None}
        with unique(TAKEN):
            await webhooks.change_webhook(self._storage.signed(call.actor), call.named(), **changed)
        await self._catalog.reload()
        return done("webhook changed")

    async def remove(self, call: Call) -> Done:
        """Remove a webhook, and its deliveries with it."""
        await webhooks.remove_webhook(self._storage.signed(call.actor), call.named())
        await self._catalog.reload()
        return done("webhook removed")

    async def test(self, call: Call) -> DeliveryShape:
        """Send a webhook something, whatever it wants to hear of: `{"type": "webmacs.test", "time": …}`.

        It is attempted as any other delivery, and what became of it is among those of the webhook.
        """
        webhook = await webhooks.webhook(self._storage, call.named())
        asked = trial(webhook, self._clock.now_us())
        if not await deliveries.deliver_now(self._storage.signed(call.actor), asked):
            await webhooks.webhook(self._storage, webhook.public_id)  # it may be gone since
            raise Conflict("the webhook is switched off; switch it on first")
        self._outbox.ring()
        return _asked(asked)

    async def redeliver(self, call: Call) -> Done:
        """Attempt a delivery again from the beginning, under its id, whatever became of it.

        One to a webhook that is switched off waits until that is switched on.
        """
        webhook = await webhooks.webhook(self._storage, call.named())
        await deliveries.redeliver(
            self._storage.signed(call.actor), call.named("delivery_id"), self._clock.now_us(), webhook.id
        )
        self._outbox.ring()
        later = "" if webhook.enabled else " once the webhook is switched on"
        return done(f"delivery to be attempted again{later}")

    async def deliveries(self, call: Call[None, DeliveryQuery]) -> Page[DeliveryShape]:
        """A page of a webhook's deliveries, the newest first."""
        query = call.query
        webhook = await webhooks.webhook(self._storage, call.named())
        found = await deliveries.deliveries(
            self._storage, webhook.id, status=query.status, limit=query.page_size, offset=query.offset
        )
        total = await deliveries.count(self._storage, webhook.id, query.status)
        return query.holding([_delivery(delivery) for delivery in found], total)

    def _shape(self, webhook: Webhook) -> WebhookShape:
        user = self._catalog.current.users_by_id.get(webhook.user_id or 0)
        return {
            "public_id": webhook.public_id,
            "url": webhook.url,
            "events": list(webhook.events),
            "enabled": webhook.enabled,
            "created_on": timestamp(webhook.created_us),
            "user_public_id": user.public_id if user else "",
        }


def _asked(delivery: NewDelivery) -> DeliveryShape:
    """A delivery that nobody has attempted yet."""
    return {
        "public_id": delivery.public_id,
        "event_type": delivery.event_type,
        "status": DeliveryStatus.PENDING,
        "attempts": 0,
        "last_error": None,
        "response_code": None,
        "created_on": timestamp(delivery.created_us),
        "delivered_on": None,
    }


def _delivery(delivery: Delivery) -> DeliveryShape:
    return {
        "public_id": delivery.public_id,
        "event_type": delivery.event_type,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "last_error": delivery.last_error,
        "response_code": delivery.response_code,
        "created_on": timestamp(delivery.created_us),
        "delivered_on": None if delivery.delivered_us is None else timestamp(delivery.delivered_us),
    }
