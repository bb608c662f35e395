"""What can be said to MySQL of a JSON column. (pure)

Nothing is exact: an array's elements may satisfy a condition, paths lead through arrays, and the server's JSON has
dates and bytes that are strings in a row. MariaDB's JSON is text as somebody wrote it, of which nothing is known.
"""

from __future__ import annotations

import json
from typing import Final

from broadcaster.kinds import SAFE_INTEGER, wide_number
from broadcaster.predicate import Literal
from broadcaster.snapshot.mysql_terms import present, quoted
from broadcaster.snapshot.pushed_down import ANYTHING, PushedDown
from cdc.mysql.table import Column

_PRINTED_AS_THEY_ARE: Final = frozenset(map(chr, range(0x20, 0x7F))) - {'"', "\\"}


def reached(column: Column, segments: list[str]) -> PushedDown:
    """The column has something at the end of the path; segments: those behind the column's name."""
    if column.data_type != "json" or not segments or not _is_plain_key(segments[-1]):
        return present(column, exact=False)
    return PushedDown(
        f"JSON_CONTAINS_PATH({quoted(column.name)}, 'one', {_anywhere(segments[-1])})", (), False
    )


def equal(column: Column, segments: list[str], literal: Literal) -> PushedDown:
    """What is at the end of the path, or an element of it, equals the literal."""
    if literal is None:
        return ANYTHING
    if column.data_type != "json" or (segments and not _is_plain_key(segments[-1])):
        return reached(column, segments)
    name = quoted(column.name)
    found = f"JSON_EXTRACT({name}, {_anywhere(segments[-1])})" if segments else name
    if isinstance(literal, bool) or (isinstance(literal, int) and abs(literal) <= SAFE_INTEGER):
        return PushedDown(f"JSON_CONTAINS({found}, '{json.dumps(literal)}')", (), False)
    if isinstance(literal, str) and _is_plain(literal) and wide_number(literal) is None:
        printed = f"CAST({found} AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin"
        return PushedDown(f"LOCATE({_text(json.dumps(literal))}, {printed}) > 0", (), False)
    return reached(column, segments)


def _anywhere(key: str) -> str:
    """The values that a key has, in whatever document."""
    return _text(f'$**."{key}"')


def _is_plain_key(segment: str) -> bool:
    """Neither an array's index nor in need of escapes."""
    return not segment.isdigit() and _is_plain(segment)


def _is_plain(text: str) -> bool:
    return _PRINTED_AS_THEY_ARE.issuperset(text)


def _text(text: str) -> str:
    return f"_utf8mb4 X'{text.encode().hex()}'"
