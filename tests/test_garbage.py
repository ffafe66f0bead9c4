"""Garbage that refers to itself goes at times of its own, and only then."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from webmacs.garbage import collected_apart


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def knot() -> weakref.ref[Knot]:
    return weakref.ref(Knot())


def nothing() -> int:
    return 0


async def until_gone(what: weakref.ref[Knot]) -> None:
    async with asyncio.timeout(10):
        while what() is not None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_new_garbage_goes_every_so_often() -> None:
    async with collected_apart(nothing, every_s=0.01):
        assert not gc.isenabled()
        await until_gone(knot())
    assert gc.isenabled()


async def test_garbage_that_has_become_old_goes_too() -> None:
    async with collected_apart(nothing, every_s=0.05, old_every=2):
        kept = Knot()
        old = weakref.ref(kept)
        gc.collect(1)  # it is old now
        del kept
        gc.collect(1)
        assert old() is not None
        await until_gone(old)


async def test_what_makes_objects_is_not_stopped_for_it() -> None:
    async with collected_apart(nothing, every_s=3600):
        tied = knot()
        made = [[number] for number in range(200_000)]  # the collector would come many times
        assert tied() is not None
        assert made
    gc.collect()
    assert tied() is None


async def test_it_is_put_off_while_many_rows_wait_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webmacs.garbage.LOOK_EVERY_S", 0.002)
    rows = 100_000
    async with collected_apart(lambda: rows, every_s=0.001):
        tied = knot()
        await asyncio.sleep(0.1)
        assert tied() is not None
        rows = 0
        await until_gone(tied)
    monkeypatch.setattr("webmacs.garbage.PATIENCE", 3)
    async with collected_apart(lambda: 100_000, every_s=0.001):
        await until_gone(knot())
