"""Looks at a database and drafts a configuration for it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cdc.config_parse import can_be_named, parse, type_of
from cdc.connector import connector_of
from cdc.errors import ConfigError
from cdc.outline import ALIASES, Entry, Outline, mask, project_name, render
from cdc.requirement import Requirement

_ITS_OWN: Final = ("", "primary key", "engine")
"""What is the table's own fault; all else may be mended from outside."""
_UNNAMED: Final = "its name cannot stand in a configuration"


@dataclass(frozen=True, slots=True)
class Draft:
    """text: the file; entries: the collections; unmet: what the database lacks as a whole; variables: those that hold
    the secrets."""

    text: str
    entries: Sequence[Entry]
    unmet: Sequence[Requirement]
    variables: Sequence[str]


async def draft(
    conn: str, project: str | None, live: Sequence[str], environ: Mapping[str, str], where: str
) -> Draft:
    """conn: the database; `${NAME}` in it is taken from `environ`. live: these collections are to be. where: what the
    file is called in messages. Raises ConfigError, SourceUnavailable."""
    kind = type_of(conn)
    if kind is None:
        raise ConfigError(
            "the database must be given as postgresql://…, mongodb://…, mysql://… or mariadb://…, or as libpq's "
            "host=… dbname=…"
        )
    outline = Outline(project or "app", kind, "", mask(conn, kind), ())
    environ = {**environ, **outline.masked.variables}
    alias = ALIASES[kind]
    config = parse(render(outline), environ, where)
    described, database = connector_of(config, alias).whereabouts()
    outline = replace(outline, where=described, project=project or project_name(database))
    found = await connector_of(config, alias).inventory()
    for name in live:
        if name not in found:
            near = difflib.get_close_matches(name, found, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there is: {', '.join(found) or 'none'}"
            raise ConfigError(f"{described} has no collection {name!r}; {hint}")
    usable = [name for name in found if can_be_named(name)]
    all_live = replace(outline, entries=[Entry(name, live=True) for name in usable])
    unmet = []
    if usable:
        checked = await connector_of(parse(render(all_live), environ, where), alias).requirements()
        unmet = [each for each in checked if not each.ok and not each.automatic]
    entries = [
        _entry(name, called, unmet, live=name in live) if name in usable else Entry(name, False, (_UNNAMED,))
        for name, called in found.items()
    ]
    subjects = set(found.values())
    return Draft(
        text=render(replace(outline, entries=entries)),
        entries=entries,
        unmet=[each for each in unmet if each.name.partition(": ")[0] not in subjects],
        variables=list(outline.masked.variables),
    )


def _entry(name: str, called: str, unmet: Sequence[Requirement], *, live: bool) -> Entry:
    """What the unmet requirements say of this collection."""
    problems, needs = [], []
    for requirement in unmet:
        subject, _, aspect = requirement.name.partition(": ")
        if subject != called:
            continue
        what = f"{aspect}: {requirement.detail}" if aspect else requirement.detail
        lines = [" ".join(text.split()) for text in (what, requirement.fix) if text]
        if aspect in _ITS_OWN:
            problems += lines
        else:
            needs.append("; ".join(lines))
    return Entry(name, live and not problems, tuple(problems), tuple(needs))
