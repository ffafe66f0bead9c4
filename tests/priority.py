"""Who goes first, where a machine has more to do than processors."""

from __future__ import annotations

from pathlib import Path


def goes_first(pid: int) -> bool:
    """Give a process and its session the share of the processors that deploy/webmacs.service gives the server.

    Nine times that of others (CPUWeight=900) is nice -10 to Linux. Returns whether that was allowed: it takes root, and
    a Linux that shares the processors between sessions.
    """
    try:
        Path(f"/proc/{pid}/autogroup").write_text("-10", encoding="ascii")
    except OSError:
        return False
    return True
