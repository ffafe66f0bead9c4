"""What is not offered: the pages that ask for it load all the same."""

from __future__ import annotations

import pytest

from tests.handlers.rest import API, rest
from tests.plant import Server
from tests.wire import call
from webmacs import __version__
from webmacs.model import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_there_is_no_single_sign_on_and_the_login_page_may_know(shared: Server) -> None:
    reply = await call(shared, "GET", f"{API}/auth/sso/config")
    assert (reply.status, reply.body) == (200, {"enabled": False, "provider_name": "", "authorize_url": ""})


async def test_no_firmware_was_uploaded(shared: Server) -> None:
    reply = await rest(shared, "GET", f"{API}/ota?page=3&page_size=50")
    assert (reply.status, reply.body) == (200, {"page": 3, "page_size": 50, "total": 0, "data": []})
    assert (await rest(shared, "GET", f"{API}/ota?page=0")).status == 422


async def test_the_version_that_runs_is_the_newest_that_is_known(shared: Server) -> None:
    reply = await rest(shared, "GET", f"{API}/ota/check", role=Role.VIEWER)
    nothing = ("latest_version", "github_latest_version", "github_download_url", "github_release_url", "github_error")
    expected = {"current_version": __version__, "update_available": False, **dict.fromkeys(nothing)}
    assert (reply.status, reply.body) == (200, expected)
