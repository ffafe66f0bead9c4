"""axe-core: what on a page keeps people from using it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.async_api import Page

# The one that the dashboard's own tools bring is newer; before `npm ci`, there is the one of a Python package.
OURS = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"

RUN = """
async (without) => {
  const found = await axe.run({ exclude: without }, { resultTypes: ['violations'], preload: false })
  return found.violations.map(({ id, help, nodes }) => ({
    id, help, nodes: nodes.map(({ target, failureSummary }) => `${target.join(' ')}: ${failureSummary}`),
  }))
}
"""


@cache
def source() -> str:
    """The script."""
    if OURS.is_file():
        return OURS.read_text("utf-8")
    return files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


async def barriers(page: Page, *, without: Sequence[str] = ()) -> list[str]:
    """What axe finds on the page as it is, by all of its rules; `without` are selectors of what is not looked at.

    The script comes in by the debugger, past the page's policy, which stays as it is.
    """
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(f"{source()}\n;undefined")
    found: list[dict[str, Any]] = await page.evaluate(RUN, list(without))
    return [f"{one['id']}: {one['help']}\n    " + "\n    ".join(one["nodes"]) for one in found]


async def assert_no_barriers(page: Page, *, without: Sequence[str] = ()) -> None:
    """Fail if axe finds anything; see `barriers`."""
    found = await barriers(page, without=without)
    assert not found, "\n".join([f"on {page.url}:", *found])
