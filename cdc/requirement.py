"""What a tailer needs of a database, in the form in which all sources tell it. (pure)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that must hold. `detail` says how it stands, `fix` is the exact statement that mends it (empty where
    none can), `automatic`: the statement is ours to run, permitted by the configuration and by the server."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    automatic: bool = False


def need(name: str, ok: bool, met: str, unmet: str, fix: str = "", *, automatic: bool = False) -> Requirement:
    """The requirement, told as `met` or as `unmet`."""
    return Requirement(name, True, met) if ok else Requirement(name, False, unmet, fix, automatic)


def explain(unmet: Sequence[Requirement]) -> str:
    """The unmet requirements with their statements, one paragraph for the operator."""
    lines = [f"{len(unmet)} requirement{'s are' if len(unmet) > 1 else ' is'} not met"]
    for requirement in unmet:
        lines.append(f"  {requirement.name}: {requirement.detail}")
        if requirement.fix:
            lines.append(f"      {requirement.fix}")
    return "\n".join(lines)
