"""Dashboards and their widgets, on every storage."""

from __future__ import annotations

from typing import Any

import pytest

from tests.storage.rows import T0, new_event
from webmacs.errors import Conflict, NotFound
from webmacs.model import Role, Scalar, Write
from webmacs.storage import accounts, dashboards, records
from webmacs.storage.base import Storage
from webmacs.storage.dashboards import MAX_DASHBOARDS, MAX_WIDGETS, Dashboard, Widget


async def user(storage: Storage, name: str = "anne", role: Role = Role.OPERATOR) -> int:
    await accounts.add_user(storage, email=f"{name}@b", username=name, password_hash="x", role=role, now_us=T0)
    return (await accounts.user_by_email(storage, f"{name}@b"))[0].id


async def new(storage: Storage, user_id: int, name: str = "Reactor", *, is_global: bool = False) -> Dashboard:
    return await dashboards.add_dashboard(storage, name=name, is_global=is_global, user_id=user_id, now_us=T0)


async def note(storage: Storage, dashboard: Dashboard, title: str = "Note", **more: Any) -> Widget:
    return await dashboards.add_widget(
        storage, dashboard.public_id, widget_type="text_note", title=title, now_us=T0, **more
    )


async def seen(storage: Storage, user_id: int) -> list[str]:
    """The names of all that a user sees, in order."""
    found, total = await dashboards.page(storage, user_id, limit=100, offset=0)
    assert total == len(found)
    return [dashboard.name for dashboard in found]


async def rows(storage: Storage, table: str) -> int:
    return int((await storage.fetch(f"SELECT count(*) FROM {table}"))[0][0])


async def test_a_dashboard_comes_back_as_it_was_added(storage: Storage) -> None:
    user_id = await user(storage)
    made = await dashboards.add_dashboard(
        storage, name="«R» 100% 'a' \\", is_global=True, user_id=user_id, now_us=T0 + 1
    )
    assert made == Dashboard(made.public_id, "«R» 100% 'a' \\", True, user_id, T0 + 1, ())
    assert await dashboards.dashboard(storage, made.public_id) == made
    assert await dashboards.page(storage, user_id, limit=1, offset=0) == ([made], 1)
    assert await dashboards.owner(storage, made.public_id) == user_id


async def test_a_widget_comes_back_as_it_was_added(storage: Storage) -> None:
    made, event = await new(storage, await user(storage)), await new_event(storage)
    place = {"x": -(2**31), "y": 2**31 - 1, "w": 12, "h": 1}
    config = '{"text": "100% of \\"it\\": it\'s ☃", "a:b": null}'
    widget = await dashboards.add_widget(
        storage,
        made.public_id,
        widget_type="gauge",
        title="T",
        event=event.public_id,
        config_json=config,
        now_us=T0,
        **place,
    )
    assert widget == Widget(widget.public_id, "gauge", "T", event.public_id, -(2**31), 2**31 - 1, 12, 1, config)
    assert (await dashboards.dashboard(storage, made.public_id)).widgets == (widget,)


async def test_of_a_widget_little_has_to_be_said(storage: Storage) -> None:
    made = await new(storage, await user(storage))
    widget = await note(storage, made)
    assert widget == Widget(widget.public_id, "text_note", "Note", None, 0, 0, 4, 3, None)
    assert (await dashboards.dashboard(storage, made.public_id)).widgets == (widget,)


async def test_one_sees_ones_own_and_the_global_ones_the_newest_first(storage: Storage) -> None:
    anne, bob = await user(storage), await user(storage, "bob")
    await new(storage, anne, "a1")
    await new(storage, bob, "b1", is_global=True)
    await new(storage, bob, "b2")
    await new(storage, anne, "a2", is_global=True)
    assert await seen(storage, anne) == ["a2", "b1", "a1"]
    assert await seen(storage, bob) == ["a2", "b2", "b1"]


async def test_a_page_has_the_widgets_of_each_of_its_dashboards_the_oldest_first(storage: Storage) -> None:
    anne = await user(storage)
    made = [await new(storage, anne, name) for name in ("first", "second", "third", "fourth")]
    for title in ("c", "a", "b"):
        await note(storage, made[0], title)
        await note(storage, made[2], f"{title}3")
    await dashboards.change_widget(
        storage,
        made[0].public_id,
        (await dashboards.dashboard(storage, made[0].public_id)).widgets[0].public_id,
        title="z",
    )
    pages = [await dashboards.page(storage, anne, limit=2, offset=offset) for offset in (0, 2, 4)]
    shown = [[(d.name, [w.title for w in d.widgets]) for d in found] for found, _ in pages]
    assert shown == [[("fourth", []), ("third", ["c3", "a3", "b3"])], [("second", []), ("first", ["z", "a", "b"])], []]
    assert [total for _, total in pages] == [4, 4, 4]


async def test_a_page_is_one_query_however_many_widgets_there_are(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    anne = await user(storage)
    for name in ("a", "b", "c"):
        await note(storage, await new(storage, anne, name))
    asked, fetch = [], storage.fetch

    async def counted(statement: str, **parameters: Any) -> Any:
        asked.append(statement)
        return await fetch(statement, **parameters)

    monkeypatch.setattr(storage, "fetch", counted)
    found, _ = await dashboards.page(storage, anne, limit=100, offset=0)
    assert [len(dashboard.widgets) for dashboard in found] == [1, 1, 1]
    assert len(asked) == 2  # the other one counts


async def test_columns_change_alone(storage: Storage) -> None:
    made = await new(storage, await user(storage))
    widget, event = await note(storage, made), await new_event(storage)
    await dashboards.change_dashboard(storage, made.public_id, name="else")
    await dashboards.change_widget(storage, made.public_id, widget.public_id, event=event.public_id)
    await dashboards.change_widget(storage, made.public_id, widget.public_id, x=7, config_json="{}")
    await dashboards.change_widget(storage, made.public_id, widget.public_id)
    now = await dashboards.dashboard(storage, made.public_id)
    place = Widget(widget.public_id, "text_note", "Note", event.public_id, 7, 0, 4, 3, "{}")
    assert now == Dashboard(made.public_id, "else", False, made.user_id, T0, (place,))
    await dashboards.change_widget(storage, made.public_id, widget.public_id, event=None)
    assert (await dashboards.dashboard(storage, made.public_id)).widgets[0].event_public_id is None


async def test_what_is_not_there_is_not_found(storage: Storage) -> None:
    anne = await user(storage)
    made, other = await new(storage, anne), await new(storage, anne, "other")
    widget = await note(storage, made)
    with pytest.raises(NotFound, match="no dashboard nobody"):
        await dashboards.dashboard(storage, "nobody")
    with pytest.raises(NotFound, match="no dashboard nobody"):
        await dashboards.owner(storage, "nobody")
    with pytest.raises(NotFound, match="no dashboard nobody"):
        await dashboards.change_dashboard(storage, "nobody", name="x")
    with pytest.raises(NotFound, match="no dashboard nobody"):
        await dashboards.remove_dashboard(storage, "nobody")
    with pytest.raises(NotFound, match="no dashboard nobody"):
        await dashboards.add_widget(storage, "nobody", widget_type="gauge", title="x", now_us=T0)
    with pytest.raises(NotFound, match="no event nothing"):
        await note(storage, made, event="nothing")
    with pytest.raises(NotFound, match="no event nothing"):
        await dashboards.change_widget(storage, made.public_id, widget.public_id, event="nothing", x=1)
    with pytest.raises(NotFound, match="no dashboard nobody"):
        await dashboards.change_widget(storage, "nobody", widget.public_id, x=1)
    with pytest.raises(NotFound, match=f"no widget {widget.public_id}"):
        await dashboards.change_widget(storage, other.public_id, widget.public_id, x=1)
    with pytest.raises(NotFound, match="no dashboard nobody"):
        await dashboards.remove_widget(storage, "nobody", widget.public_id)
    with pytest.raises(NotFound, match=f"no widget {widget.public_id}"):
        await dashboards.remove_widget(storage, other.public_id, widget.public_id)
    assert (await dashboards.dashboard(storage, made.public_id)).widgets == (widget,)


async def test_a_widget_goes_alone_and_a_dashboard_with_its_widgets(storage: Storage) -> None:
    anne = await user(storage)
    made, other = await new(storage, anne), await new(storage, anne, "other")
    first, second = await note(storage, made, "first"), await note(storage, made, "second")
    await note(storage, other, "third")
    await dashboards.remove_widget(storage, made.public_id, first.public_id)
    assert (await dashboards.dashboard(storage, made.public_id)).widgets == (second,)
    await dashboards.remove_dashboard(storage, made.public_id)
    assert await seen(storage, anne) == ["other"]
    assert await rows(storage, "widgets") == 1


async def test_a_widget_outlasts_its_event(storage: Storage) -> None:
    made, event = await new(storage, await user(storage)), await new_event(storage)
    widget = await note(storage, made, event=event.public_id)
    await records.drop_event(storage, event.public_id)
    [left] = (await dashboards.dashboard(storage, made.public_id)).widgets
    assert (left.public_id, left.event_public_id) == (widget.public_id, None)


async def test_with_a_user_go_the_dashboards_that_nobody_else_sees(storage: Storage) -> None:
    anne, bob = await user(storage, role=Role.ADMIN), await user(storage, "bob", Role.ADMIN)
    for owner in (anne, bob):
        await note(storage, await new(storage, owner, f"own {owner}"))
        await note(storage, await new(storage, owner, f"global {owner}", is_global=True))
    assert await accounts.remove_user(storage, bob)
    assert await seen(storage, anne) == [f"global {bob}", f"global {anne}", f"own {anne}"]
    (left,), _ = await dashboards.page(storage, anne, limit=1, offset=0)
    assert (left.user_id, len(left.widgets)) == (None, 1)
    assert await dashboards.owner(storage, left.public_id) is None
    assert (await rows(storage, "dashboards"), await rows(storage, "widgets")) == (3, 3)


async def test_the_last_administrator_keeps_the_dashboards(storage: Storage) -> None:
    anne = await user(storage, role=Role.ADMIN)
    await new(storage, anne)
    assert not await accounts.remove_user(storage, anne)
    assert await seen(storage, anne) == ["Reactor"]


async def test_a_user_may_have_so_many_dashboards(storage: Storage) -> None:
    anne, bob = await user(storage), await user(storage, "bob")
    more: tuple[dict[str, Scalar], ...] = tuple(
        {"public_id": f"p{number}", "user_id": anne} for number in range(MAX_DASHBOARDS - 1)
    )
    insert = "INSERT INTO dashboards (public_id, name, user_id, created_us) VALUES (:public_id, 'x', :user_id, 0)"
    await storage.write(Write(insert, more))
    last = await new(storage, anne, "the last")
    with pytest.raises(Conflict, match=f"{MAX_DASHBOARDS} dashboards.*remove one first"):
        await new(storage, anne, "one more")
    assert len(await seen(storage, anne)) == MAX_DASHBOARDS
    await new(storage, bob)
    await dashboards.remove_dashboard(storage, last.public_id)
    await new(storage, anne, "instead")


async def test_a_dashboard_may_have_so_many_widgets(storage: Storage) -> None:
    anne = await user(storage)
    made, other = await new(storage, anne), await new(storage, anne, "other")
    for _ in range(MAX_WIDGETS - 1):
        await note(storage, made)
    last = await note(storage, made, "the last")
    with pytest.raises(Conflict, match=f"{MAX_WIDGETS} widgets.*remove one first"):
        await note(storage, made, "one more")
    assert len((await dashboards.dashboard(storage, made.public_id)).widgets) == MAX_WIDGETS
    await note(storage, other)
    await dashboards.remove_widget(storage, made.public_id, last.public_id)
    await note(storage, made, "instead")
