"""The documentation's fenced blocks. What follows the language in a block's info string says how it is tried."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = tuple(
    sorted(
        path.relative_to(ROOT)
        for pattern in (
            "README.md",
            "*/README.md",
            "*/docs/*.md",
            "docker/*/README.md",
            "broadcaster/static/README.md",
        )
        for path in ROOT.glob(pattern)
    )
)
with_curl: Final = pytest.mark.skipif(
    shutil.which("curl") is None, reason="no curl here: apt-get install curl"
)
_BLOCK: Final = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """`info` is all of the first line after the fence, as `sql admin app`; `line` where the text begins, from 1."""

    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Those of a page of this repository, in order."""
    markdown = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, markdown[: found.start(2)].count("\n") + 1, found[1].strip(), found[2])
        for found in _BLOCK.finditer(markdown)
    ]


def one(page: str, info: str) -> Block:
    """The only block of a page with this info string."""
    (found,) = (block for block in blocks(Path(page)) if block.info == info)
    return found


def statements(script: str) -> list[str]:
    """Of SQL without literals that hold a semicolon; comments are left out."""
    plain = re.sub(r"--[^\n]*", "", script)
    return [statement.strip() for statement in plain.split(";") if statement.strip()]
