"""Comparisons of MySQL's and MariaDB's text, bytes and UUIDs, as SQL. (pure)

Text is decided on its UTF-8 bytes, whose order is that of the code points. Beside that stands, where it can be proven
to hold for equal texts, the comparison by the column's own collation, which an index serves: any collation holds a
text equal to itself, as long as the literal's conversion to the column's character set gives back those very bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from broadcaster.kinds import uuid_text
from broadcaster.predicate import Comparison, Literal
from broadcaster.snapshot.mysql_terms import EQ, SQL, Condition, Equality, condition, present, quoted
from broadcaster.snapshot.pushed_down import NEVER, PushedDown
from cdc.mysql.table import Column

ONE_SPELLING: Final[Mapping[str, str]] = {
    "latin1": "cp1252", "ucs2": "", "utf8": "", "utf8mb3": "", "utf8mb4": "utf-8", "utf16": "utf-8", "utf16le": "utf-8",
    "utf32": "utf-8",
}  # fmt: skip
"""The character sets in which all that can be stored is text, and has one spelling: the codec that tells whether a text
can be; "" for those that end at U+FFFF. In others there are bytes that mean nothing, for which the server and the rows
have substitutes of their own, and texts with two spellings."""


def text(column: Column, op: Comparison, literal: Literal) -> Condition:
    if not isinstance(literal, str):
        return NEVER
    certain = column.charset in ONE_SPELLING
    if not _is_unicode(literal):
        return NEVER if op is EQ else present(column, exact=False)
    if not certain and (op is not EQ or "\ufffd" in literal):
        return present(column, exact=False)
    name = quoted(column.name)
    converted = name if column.charset == "utf8mb4" else f"CONVERT({name} USING utf8mb4)"
    left, right = f"CAST({converted} AS BINARY)", _hex(literal.encode())
    if op is not EQ:
        return _of_text(column, f"{left} {SQL[op]} {right}")
    if column.data_type in ("enum", "set") or not _can_be_stored(literal, column.charset):
        return Equality(((left, right),), certain)
    return Equality(((name, f"_utf8mb4 {right}"), (left, right)))


def like(column: Column, pattern: str) -> PushedDown:
    """A text that matches the pattern, whose `\\` is the server's own escape."""
    if not _is_unicode(pattern) or column.charset not in ONE_SPELLING:
        return present(column, exact=False)
    converted = f"CONVERT({quoted(column.name)} USING utf8mb4) COLLATE utf8mb4_bin"
    return _of_text(column, f"{converted} LIKE _utf8mb4 {_hex(pattern.encode())}")


def _of_text(column: Column, sql: str) -> PushedDown:
    """A condition on a converted text, which is NULL where the conversion outgrows `max_allowed_packet`."""
    if column.data_type not in ("text", "mediumtext", "longtext"):
        return PushedDown(sql, (), True)
    return PushedDown(f"{quoted(column.name)} IS NOT NULL AND ({sql}) IS NOT FALSE", (), False)


def _can_be_stored(text: str, charset: str | None) -> bool:
    codec = ONE_SPELLING.get(charset or "")
    if not codec:
        return codec is not None and all(character <= "\uffff" for character in text)
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _is_unicode(text: str) -> bool:
    """Lone surrogates cannot be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hex(data: bytes) -> str:
    return f"X'{data.hex()}'"


def binary(column: Column, op: Comparison, literal: Literal) -> Condition:
    if not isinstance(literal, str):
        return NEVER
    try:
        data = base64.b64decode(literal, validate=True)
    except (binascii.Error, ValueError):
        return NEVER
    return condition(quoted(column.name), op, _hex(data))


def uuid(column: Column, op: Comparison, literal: Literal) -> Condition:
    """MariaDB's type, whose order is not that of the bytes."""
    text = uuid_text(literal)
    if text is None:
        return NEVER
    return Equality(((quoted(column.name), f"'{text}'"),)) if op is EQ else present(column, exact=False)
