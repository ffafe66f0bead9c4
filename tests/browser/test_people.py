"""The dashboard's pages about people and logs, and what becomes of a session."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import pytest
from playwright.async_api import Page, expect

from tests.browser.axe import assert_no_barriers
from tests.browser.conftest import Visit
from tests.browser.installation import EMAILS, Installation
from tests.browser.watch import Watch
from tests.plant import PASSWORD
from webmacs.model import Role

NEW_PASSWORD: Final = "another correct horse"
KEY: Final = "webmacs.token"
QUIET_MS: Final = 60_000


@dataclass(frozen=True)
class Somebody:
    """An account of one's own, to be changed or removed."""

    public_id: str
    email: str

    @classmethod
    async def new(cls, installation: Installation, role: Role) -> Somebody:
        """One that has the password of all."""
        email = "somebody@example.org"
        body = {"email": email, "username": "Somebody", "password": PASSWORD, "role": role.value}
        await installation.rest("POST", "/users", body)
        return cls(await installation.found("/users", email, "email"), email)


async def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def test_a_wrong_password_is_said_and_a_right_one_leads_where_one_wanted_to_go(
    visit: Visit, watch: Watch
) -> None:
    watch.allow("status of 401")
    page = await visit(None)
    await page.goto("/logs?view=audit")
    await page.wait_for_url("**/login?to=**")
    await sign_in(page, EMAILS[Role.ADMIN], "not this one")
    await expect(page.get_by_role("alert")).to_have_text("Incorrect email or password.")
    await expect(page.get_by_label("Password")).to_be_focused()
    await sign_in(page, EMAILS[Role.ADMIN])
    await page.wait_for_url("**/logs?view=audit")
    await expect(page.get_by_role("link", name="Audit log")).to_have_attribute("aria-current", "page")


async def test_signing_out_and_in_in_one_tab_does_so_in_the_others(visit: Visit, watch: Watch) -> None:
    watch.allow("status of 401")  # of what was asked for as the session ended
    one = await visit(None)
    await one.goto("/account")
    await sign_in(one, EMAILS[Role.ADMIN])
    await expect(one.get_by_role("heading", name="Account")).to_be_visible()
    two = await one.context.new_page()
    await two.goto("/logs")
    await expect(two.get_by_role("heading", name="Logs")).to_be_visible()
    await one.get_by_role("main").get_by_role("button", name="Sign out").click()
    await one.wait_for_url("**/login?to=/account")
    await two.wait_for_url("**/login?to=/logs")
    await sign_in(two, EMAILS[Role.ADMIN])
    await two.wait_for_url("**/logs")
    await one.wait_for_url("**/account")


@dataclass
class Attempts:
    """What a page asks for."""

    requests: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, page: Page) -> Attempts:
        attempts = cls()
        page.on("request", lambda request: attempts.requests.append(request.url))
        page.on("websocket", lambda socket: attempts.sockets.append(socket.url))
        return attempts


async def signed_out(installation: Installation, _somebody: Somebody, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{installation.address}/api/v1/auth/logout") as answer,
    ):
        assert answer.status == 200


async def given_another_password(installation: Installation, somebody: Somebody, _token: str) -> None:
    await installation.rest("PUT", f"/users/{somebody.public_id}", {"password": NEW_PASSWORD})


async def deleted(installation: Installation, somebody: Somebody, _token: str) -> None:
    await installation.rest("DELETE", f"/users/{somebody.public_id}")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (signed_out, "Token has been revoked"),
        (given_another_password, "Token has been revoked"),
        (deleted, "User not found"),
    ],
)
async def test_a_session_that_ends_while_one_watches_leads_to_the_login_with_the_reason_and_no_loop(
    installation: Installation,
    visit: Visit,
    watch: Watch,
    end: Callable[[Installation, Somebody, str], Awaitable[None]],
    reason: str,
) -> None:
    watch.allow("status of 401")
    somebody = await Somebody.new(installation, Role.VIEWER)
    (event,) = await installation.add_events("Inlet")
    page = await visit(None)
    await page.clock.install()
    attempts = Attempts.of(page)
    await page.goto("/live")
    await sign_in(page, somebody.email)
    await expect(page.locator("[data-mode=websocket]")).to_be_visible()
    async with installation.telemetry() as telemetry:
        await telemetry.send({event: 42.5})
        await expect(page.get_by_test_id("value")).to_have_text("42.50")
        await end(installation, somebody, await page.evaluate("key => localStorage.getItem(key)", KEY))
        await page.wait_for_url("**/login**")
    await expect(page.get_by_role("status")).to_have_text(f"You were signed out: {reason}.")
    assert await page.evaluate("key => localStorage.getItem(key)", KEY) is None
    requests, sockets = len(attempts.requests), len(attempts.sockets)
    assert sockets == 1
    await page.clock.run_for(QUIET_MS)
    assert (attempts.requests[requests:], attempts.sockets[sockets:]) == ([], [])


async def test_a_viewer_is_offered_nothing_of_administrators_and_asks_for_none_of_it(
    installation: Installation, visit: Visit
) -> None:
    await installation.rest("POST", "/logging", {"content": "the pump runs"})
    page = await visit(Role.VIEWER)
    attempts = Attempts.of(page)
    for path in ("/users", "/webhooks", "/start"):
        await page.goto(path)
        await expect(page.get_by_text("This page is for administrators.")).to_be_visible()
    menu = page.get_by_role("navigation", name="Main")
    for name in ("Users", "Webhooks", "Rules"):
        await expect(menu.get_by_role("link", name=name)).to_have_count(0)
    await page.goto("/logs?view=audit")
    await expect(page.get_by_text("The pump runs.")).to_be_visible()
    await expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
    await expect(page.get_by_role("button", name=re.compile("^Mark"))).to_have_count(0)
    assert [url for url in attempts.requests if re.search(r"/api/v1/(users|webhooks|audit)", url)] == []


async def test_a_role_that_is_taken_away_is_noticed(installation: Installation, visit: Visit, watch: Watch) -> None:
    watch.allow("status of 403")
    somebody = await Somebody.new(installation, Role.ADMIN)
    await installation.add_events("Inlet")
    page = await visit(None)
    await page.goto("/users")
    await sign_in(page, somebody.email)
    await expect(page.get_by_role("button", name="Add a user")).to_be_visible()
    await installation.rest("PUT", f"/users/{somebody.public_id}", {"role": "operator"})
    await page.get_by_role("link", name="Logs").click()
    await page.get_by_role("link", name="Audit log").click()
    await expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
    await expect(page.get_by_role("link", name="Users")).to_have_count(0)


async def test_a_user_is_added_gets_another_role_and_password_and_is_deleted(
    page: Page, visit: Visit, watch: Watch
) -> None:
    watch.allow("status of 401")
    await page.goto("/users")
    dialog = page.get_by_role("dialog")
    await page.get_by_role("button", name="Add a user").click()
    await dialog.get_by_label("Name").fill("Nora")
    await dialog.get_by_label("E-mail").fill("nora@lab.example")
    await dialog.get_by_role("radio", name=re.compile("Operator")).check()
    await dialog.get_by_role("button", name="Add the user").click()
    handed_over = await dialog.get_by_label("What to hand over").inner_text()
    await dialog.get_by_role("button", name="Done").click()
    row = page.get_by_role("row", name=re.compile("Nora"))
    await expect(row).to_contain_text("Operator")

    hers = await visit(None)
    await hers.goto("/live")
    password = re.search("Password: (.*)", handed_over)
    assert password is not None
    await sign_in(hers, "nora@lab.example", password[1])
    await expect(hers.locator("[data-mode=websocket]")).to_be_visible()

    async def choose(action: str) -> None:
        await page.get_by_label("Actions for Nora").click()
        await page.get_by_role("menuitem", name=action).click()

    await choose("Change the role")
    await dialog.get_by_role("radio", name=re.compile("Viewer")).check()
    await dialog.get_by_role("button", name="Change the role").click()
    await expect(row).to_contain_text("Viewer")
    await choose("Set a new password")
    await dialog.get_by_role("button", name="Set the password").click()
    await expect(dialog.get_by_label("The new password")).to_be_visible()
    await dialog.get_by_role("button", name="Done").click()
    await hers.wait_for_url("**/login**")
    await choose("Delete")
    await dialog.get_by_role("button", name="Delete the user").click()
    await expect(page.get_by_text("Nora is deleted.")).to_be_visible()
    await expect(row).to_have_count(0)


async def test_the_last_administrator_is_protected_and_the_reason_is_said(page: Page) -> None:
    await page.goto("/users")
    await page.get_by_label("Actions for admin").click()
    for action in ("Change the role", "Delete"):
        item = page.get_by_role("menuitem", name=re.compile(action))
        await expect(item).to_have_attribute("aria-disabled", "true")
        await expect(item).to_contain_text("The last administrator stays")


async def test_a_token_is_shown_once_works_and_is_void_when_it_is_deleted(
    installation: Installation, visit: Visit
) -> None:
    (event,) = await installation.add_events("Inlet")
    page = await visit(Role.OPERATOR)
    await page.goto("/tokens")
    dialog = page.get_by_role("dialog")
    await page.get_by_role("button", name="Add a token").click()
    await dialog.get_by_label("Name").fill("Furnace")
    await dialog.get_by_label("Device", exact=True).select_option("Rig of Inlet")
    await dialog.get_by_label("Good for").select_option("30 days")
    await dialog.get_by_role("button", name="Make the token").click()
    text = await dialog.get_by_label("The token", exact=True).inner_text()
    await dialog.get_by_role("button", name="Done").click()
    row = page.get_by_role("row", name=re.compile("Furnace"))
    await expect(row).to_contain_text("Send readings")
    await expect(row).to_contain_text("Rig of Inlet")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {text}"}) as client:

        async def status() -> int:
            body = {"value": 1.5, "event_public_id": event}
            async with client.post(f"{installation.address}/api/v1/datapoints", json=body) as answer:
                return answer.status

        assert await status() == 201
        await page.get_by_role("button", name="Delete the token Furnace").click()
        await dialog.get_by_role("button", name="Delete the token").click()
        await expect(page.get_by_text("Furnace is deleted.")).to_be_visible()
        await expect(row).to_have_count(0)
        assert await status() == 401


async def test_ones_own_password_needs_the_old_one_and_ends_the_session(
    installation: Installation, visit: Visit, watch: Watch
) -> None:
    watch.allow("status of 4(01|22)")
    somebody = await Somebody.new(installation, Role.OPERATOR)
    page = await visit(None)
    await page.goto("/account")
    await sign_in(page, somebody.email)

    async def change(old: str, again: str = NEW_PASSWORD) -> None:
        await page.get_by_label("Old password").fill(old)
        await page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
        await page.get_by_label("New password again").fill(again)
        await page.get_by_role("button", name="Change the password").click()

    await change(PASSWORD, "something else")
    await expect(page.get_by_text("The two are not the same.")).to_be_visible()
    await change("not this one")
    await expect(page.get_by_text("This is not your password.")).to_be_visible()
    await change(PASSWORD)
    await page.wait_for_url("**/login?to=/account")
    await expect(page.get_by_role("status")).to_contain_text("Sign in with the new one.")
    await sign_in(page, somebody.email, NEW_PASSWORD)
    await page.wait_for_url("**/account")


async def test_new_entries_of_the_log_wait_while_one_reads_and_are_marked_as_read(
    installation: Installation, visit: Visit
) -> None:
    for number in range(60):
        await installation.rest("POST", "/logging", {"content": f"valve {number} is open"})
    page = await visit(Role.OPERATOR)
    await page.goto("/logs")
    read = page.get_by_text("Valve 20 is open.")
    await read.scroll_into_view_if_needed()
    await page.wait_for_function("scrollY > 100")
    before = await read.bounding_box()
    for number in range(3):
        await installation.rest("POST", "/logging", {"content": f"pump {number} failed", "logging_type": "error"})
    await expect(page.get_by_role("button", name="3 new")).to_be_visible()
    await expect(page.get_by_text("Pump 2 failed.")).to_have_count(0)
    assert await read.bounding_box() == before
    await page.get_by_role("button", name="3 new").click()
    await page.get_by_role("button", name="Errors").click()
    await page.get_by_label("Search the log").fill("pump")
    found = page.get_by_role("listitem").filter(has_text=re.compile(r"Pump \d failed"))
    await expect(found).to_have_count(3)
    await page.get_by_role("button", name="Mark all shown as read").click()
    await expect(page.get_by_text("3 entries are marked as read.")).to_be_visible()
    await page.get_by_role("button", name="Unread", exact=True).click()
    await expect(found).to_have_count(0)
    await page.get_by_role("button", name="Unread", exact=True).click()
    await page.get_by_label("Search the log").fill("")
    await page.get_by_role("button", name="All", exact=True).click()
    await page.get_by_role("button", name="Load older").click()
    await expect(page.get_by_text("Valve 0 is open.")).to_be_visible()


async def test_the_audit_log_says_who_changed_what_from_what_to_what(installation: Installation, page: Page) -> None:
    (event,) = await installation.add_events("Inlet", unit="V")
    await installation.rest("PUT", f"/events/{event}", {"unit": "mV", "max_value": 250}, role=Role.OPERATOR)
    await page.goto("/logs?view=audit")
    entry = page.get_by_role("listitem").filter(has_text="changed").filter(has_text="Inlet").first
    await expect(entry).to_contain_text(EMAILS[Role.OPERATOR])
    await expect(entry.locator("dl > div").filter(has_text="unit")).to_have_text(re.compile(r"V.*mV"))
    await expect(entry.locator("dl > div").filter(has_text="largest value")).to_contain_text("250")
    await page.get_by_label("About").select_option("User")
    await expect(page.get_by_role("listitem").filter(has_text="Inlet")).to_have_count(0)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_pages_have_no_barriers_and_are_no_wider_than_a_phone(
    installation: Installation, visit: Visit, dark: bool
) -> None:
    body = {"content": "device 'Furnace' does not answer", "logging_type": "error"}
    await installation.rest("POST", "/logging", body)
    await installation.rest("POST", "/tokens", {"name": "Report", "scope": "read"})
    page = await visit(phone=True, dark=dark)
    for path, button in (
        ("/users", "Add a user"),
        ("/tokens", "Add a token"),
        ("/account", None),
        ("/logs", None),
        ("/logs?view=audit", None),
    ):
        await page.goto(path)
        await expect(page.get_by_role("main").locator(".card").first).to_be_visible()
        await assert_no_barriers(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        if button is not None:
            await page.get_by_role("button", name=button).click()
            await expect(page.get_by_role("dialog")).to_be_visible()
            await assert_no_barriers(page)
