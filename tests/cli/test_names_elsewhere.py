"""Names asked of what is not our server: the way there is on the internet, which tests have not."""

from __future__ import annotations

import aiohttp
import pytest

from tests.mocked_http import mocked_http
from webmacs.cli.names import EVENTS, EXPERIMENTS, PAGE_SIZE, Label, Names

WHERE = "https://plant.example.org"
PAGE = f"?page=1&page_size={PAGE_SIZE}"


async def test_names_come_over_https_from_a_host_by_name() -> None:
    with mocked_http() as web:
        listed = {"total": 1, "data": [{"public_id": "e1", "name": "Pressure", "unit": "bar"}]}
        web.get(WHERE + EVENTS + PAGE, payload=listed)
        web.get(WHERE + EXPERIMENTS + PAGE, status=404)
        names = Names()
        async with aiohttp.ClientSession() as session:
            await names.load(session, WHERE, "token")
    assert names.event("e1") == Label("Pressure", "bar")


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_gateway_whose_server_is_away_is_no_list(status: int) -> None:
    with mocked_http() as web:
        web.get(WHERE + EVENTS + PAGE, status=status, body="<html>Bad Gateway</html>", content_type="text/html")
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientResponseError, match=str(status)):
                await Names().load(session, WHERE, "token")
