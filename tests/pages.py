"""Pages of the documentation whose blocks of code are run: each block begins with a comment that names its file."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

DOCUMENTS = Path(__file__).parent.parent / "docs"


class Page:
    """The text of one, and its blocks by language and name."""

    def __init__(self, name: str) -> None:
        self.text = (DOCUMENTS / name).read_text(encoding="utf-8")
        self._blocks = re.findall(r"^```(\w+)\n# ([^\n]+)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)

    @property
    def all_named(self) -> bool:
        """Whether every block has a name, so that nothing on the page is left untried."""
        return len(self._blocks) == self.text.count("\n```") / 2

    def blocks(self, language: str) -> dict[str, str]:
        """Those of one language, in order."""
        return {name: text for found, name, text in self._blocks if found == language}

    def installed(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The modules of the page, of a package `plant`, in a directory from which they can be imported."""
        (directory / "plant").mkdir()
        for name, text in {"plant/__init__.py": "", **self.blocks("python")}.items():
            (directory / name).write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(directory)
        for name in [name for name in sys.modules if name.partition(".")[0] == "plant"]:
            monkeypatch.delitem(sys.modules, name)
        return directory
