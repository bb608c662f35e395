"""A first configuration for a database, as a file with comments; its connection string without its secrets. (pure)"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdc.errors import ConfigError

ALIASES: Final = {"mongo": "mongo", "postgres": "sql-postgres", "mysql": "sql-mysql"}
"""By type, the alias that implies it."""

VARIABLES: Final = {"mongo": "MONGOPASSWORD", "postgres": "PGPASSWORD", "mysql": "MYSQL_PASSWORD"}
"""By type, the environment variable that holds the password."""

_MANAGED: Final = {
    "mongo": "pre- and post-images",
    "postgres": "publication, slot, replica identity",
    "mysql": "nothing anyway",
}
_GIVEN: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_SECRET: Final = re.compile(r"password|secret|token|authmechanismproperties", re.IGNORECASE)
_KEYWORD: Final = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)+)")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_PLAIN_CONN: Final = re.compile(r"[A-Za-z][\w:/@.${}?=&%+,~-]*")
_NOT_ID: Final = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Masked:
    """A connection string as it goes into the file. variables: what those of ours in it stand for."""

    conn: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A collection. problems: why it cannot be live, empty if it can; needs: what must be done first; one line each."""

    name: str
    live: bool
    problems: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outline:
    """What goes into the file. where: the database, without any secret."""

    project: str
    type: str
    where: str
    masked: Masked
    entries: Sequence[Entry]


def mask(conn: str, type_: str) -> Masked:
    """Put variables in place of the password, and of options that hold secrets; what is a variable already stays.
    Raises ConfigError where it is not clear what the password is."""
    variables: dict[str, str] = {}

    def hide(secret: str, name: str) -> str:
        if not secret or _GIVEN.fullmatch(secret):
            return secret
        variables[name] = secret
        return f"${{{name}}}"

    scheme, separator, rest = conn.partition("://")
    if not separator:

        def keyword(found: re.Match[str]) -> str:
            name, value = found[1], found[2]
            if not _SECRET.search(name):
                return _kept(found[0])
            bare = _ESCAPED.sub(r"\1", value[1:-1] if value.startswith("'") else value)
            own = VARIABLES[type_] if name == "password" else _variable(name)
            return f"{name}='{hide(bare, own)}'"

        return Masked(_KEYWORD.sub(keyword, conn), variables)
    place, mark, options = rest.partition("?")
    authority, slash, path = place.partition("/")
    if "@" in path or ("@" in options and "@" not in authority):
        raise ConfigError(
            "`/`, `?` and `@` in a password must be percent-encoded: %2F, %3F, %40; so must they be in the variable"
        )
    authority, at, hosts = authority.rpartition("@")
    user, colon, password = authority.partition(":")
    credentials = f"{_kept(user)}{colon}{hide(password, VARIABLES[type_])}"
    pairs = [pair.partition("=") for pair in options.split("&")] if mark else []
    shown = [
        f"{name}{equals}{hide(value, _variable(name)) if _SECRET.search(name) else _kept(value)}"
        for name, equals, value in pairs
    ]
    return Masked(
        f"{scheme}://{credentials}{at}{_kept(hosts)}{slash}{_kept(path)}{mark}{'&'.join(shown)}", variables
    )


def project_name(database: str) -> str:
    """A project's name for a database of that name."""
    name = _NOT_ID.sub("-", database).strip("-_")[:63]
    return name or "app"


def render(outline: Outline) -> str:
    """The file."""
    lines = [
        f"# Made by `livetail init` from {outline.where}.",
        "# Every key stands in cdc/docs/configuration.md. Next: `livetail check -c FILE`, `livetail dev -c FILE`.",
        "",
        f"id: {_scalar(outline.project)}  # the project's name, as it stands in the API's paths",
        "",
        "# secret: ${JWT_SECRET}  # the key of your users' tokens (HS256), where a rule asks for one",
        "",
        "modules:",
        "  # realtime:",
        "  #   kafka: localhost  # where the event log is with --prod; without, it is a folder beside this file",
        "  crud:",
        f"    {ALIASES[outline.type]}:",
        *(
            f"      # {name} is taken from the environment, as it stands in a connection string (percent-encoded)"
            for name in outline.masked.variables
        ),
        f"      conn: {_conn(outline.masked.conn)}",
        f"      # manage: false  # Livetail is to change nothing in the database ({_MANAGED[outline.type]})",
    ]
    if not any(not entry.problems for entry in outline.entries):
        return "\n".join([*lines, "      collections: {}", *_impossible(outline.entries), ""])
    lines.append("      collections:")
    told = False
    for entry in outline.entries:
        if entry.problems:
            lines += _impossible([entry])
            continue
        rule = "allow" if entry.live else "deny"
        lines += [
            f"        {_scalar(entry.name)}:",
            *(f"          # needs {need}" for need in entry.needs),
            f"          isRealtimeEnabled: {'true' if entry.live else 'false'}"
            + ("" if told else "  # true: clients may follow it, as far as its rule lets them"),
            f"          rules: {{read: {{rule: {rule}}}}}"
            + ("" if told else "  # allow: everybody; deny: nobody; others: broadcaster/docs/rules.md"),
        ]
        told = True
    return "\n".join([*lines, ""])


def _impossible(entries: Sequence[Entry]) -> list[str]:
    """Collections that cannot be live, as comments."""
    lines = []
    for entry in entries:
        lines += [
            f"        # {_scalar(entry.name)}:  # cannot be live:",
            *(f"        #   {problem}" for problem in entry.problems),
        ]
    return lines


def _conn(conn: str) -> str:
    return conn if _PLAIN_CONN.fullmatch(conn) else json.dumps(conn, ensure_ascii=False)


def _scalar(name: str) -> str:
    """A name as YAML."""
    plain = _PLAIN.fullmatch(name) and name.lower() not in _WORDS
    return name if plain else json.dumps(name, ensure_ascii=False)


def _kept(text: str) -> str:
    """What goes into the file as it is; a `$` begins a variable there unless it is doubled."""
    return "".join(
        part if i % 2 else part.replace("$", "$$")
        for i, part in enumerate(re.split(f"({_GIVEN.pattern})", text))
    )


def _variable(option: str) -> str:
    return f"LIVETAIL_{option.upper()}"
