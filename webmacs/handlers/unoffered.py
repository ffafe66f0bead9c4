"""What is not offered here, single sign-on and firmware updates, said so that the pages for it load all the same."""

from __future__ import annotations

from typing_extensions import TypedDict

from webmacs import __version__
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import Call, Page, PageQuery
from webmacs.model import Role


class SignOnShape(TypedDict):
    """How to sign in elsewhere."""

    enabled: bool
    provider_name: str
    authorize_url: str


class FirmwareShape(TypedDict):
    """Firmware that was uploaded."""

    public_id: str
    version: str


class UpdateShape(TypedDict):
    """What runs, and whether there is something newer."""

    current_version: str
    latest_version: str | None
    update_available: bool
    github_latest_version: str | None
    github_download_url: str | None
    github_release_url: str | None
    github_error: str | None


class UnofferedRoutes:
    """The handlers."""

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("GET", f"{PREFIX}/auth/sso/config", self.sign_on, needs=None)
        routes.add("GET", f"{PREFIX}/ota", self.updates, needs=Role.ADMIN)
        routes.add("GET", f"{PREFIX}/ota/check", self.check)

    async def sign_on(self, _call: Call) -> SignOnShape:
        """Single sign-on: there is none."""
        return {"enabled": False, "provider_name": "", "authorize_url": ""}

    async def updates(self, call: Call[None, PageQuery]) -> Page[FirmwareShape]:
        """A page of firmware that was uploaded: none. An update of the server comes with its package or its image."""
        return call.query.holding([], 0)

    async def check(self, _call: Call) -> UpdateShape:
        """The version that runs; newer ones are not looked for."""
        return {
            "current_version": __version__,
            "latest_version": None,
            "update_available": False,
            "github_latest_version": None,
            "github_download_url": None,
            "github_release_url": None,
            "github_error": None,
        }
