"""The binlog's codes of column types. (pure)

As in mysql-server's include/field_types.h; 140 and 141 are MariaDB's compressed columns.
"""

from __future__ import annotations

from typing import Final

TINY: Final = 1
SHORT: Final = 2
LONG: Final = 3
FLOAT: Final = 4
DOUBLE: Final = 5
TIMESTAMP: Final = 7
LONGLONG: Final = 8
INT24: Final = 9
DATE: Final = 10
TIME: Final = 11
DATETIME: Final = 12
YEAR: Final = 13
VARCHAR: Final = 15
BIT: Final = 16
TIMESTAMP2: Final = 17
DATETIME2: Final = 18
TIME2: Final = 19
BLOB_COMPRESSED: Final = 140
VARCHAR_COMPRESSED: Final = 141
VECTOR: Final = 242
JSON: Final = 245
NEWDECIMAL: Final = 246
ENUM: Final = 247
SET: Final = 248
BLOB: Final = 252
VAR_STRING: Final = 253
STRING: Final = 254
GEOMETRY: Final = 255

METADATA_SIZES: Final = {
    TINY: 0, SHORT: 0, LONG: 0, LONGLONG: 0, INT24: 0, DATE: 0, TIME: 0, DATETIME: 0, TIMESTAMP: 0, YEAR: 0,
    FLOAT: 1, DOUBLE: 1, TIMESTAMP2: 1, DATETIME2: 1, TIME2: 1, BLOB: 1, GEOMETRY: 1, JSON: 1, VECTOR: 1,
    BLOB_COMPRESSED: 1, VARCHAR: 2, VAR_STRING: 2, VARCHAR_COMPRESSED: 2, STRING: 2, NEWDECIMAL: 2, BIT: 2,
    ENUM: 2, SET: 2,
}  # fmt: skip
"""Bytes of a column's metadata in a table map; a type that is not here is not known."""

NUMERIC: Final = frozenset({TINY, SHORT, INT24, LONG, LONGLONG, NEWDECIMAL, FLOAT, DOUBLE, YEAR})
"""Those that a table map tells the sign of."""

CHARACTER: Final = frozenset({STRING, VAR_STRING, VARCHAR, BLOB, BLOB_COMPRESSED, VARCHAR_COMPRESSED})
"""Those that a table map tells the collation of; on MariaDB GEOMETRY too."""
