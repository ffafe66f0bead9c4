"""A thread that is refused its trace function runs nevertheless."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tracing import patient

ROOT = Path(__file__).parent.parent

COLLIDE = """
import sys, threading, time
from tests import tracing

sys.addaudithook(lambda event, _: time.sleep(0.001) if event == "sys.settrace" else None)  # long enough to collide
if sys.argv[1] == "patient":
    tracing.install()
threading.excepthook = sys.unraisablehook = lambda _: None
threading.settrace(lambda *_: None)
ran = []
threads = [threading.Thread(target=ran.append, args=(number,), daemon=True) for number in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(ran))
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="nobody is refused from Python 3.12 on")
@pytest.mark.parametrize("how", ["patient", "bare"])
def test_threads_that_begin_together_all_run(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COLLIDE, how], capture_output=True, text=True, cwd=ROOT, check=True, env={}
    )
    assert (int(done.stdout) == 20) == (how == "patient"), done


def test_who_is_refused_for_ever_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.tracing.PAUSE_S", 0)

    def refuse(_: object) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        patient(refuse)(None)
