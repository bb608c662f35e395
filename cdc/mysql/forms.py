"""What a column's values look like in JSON: the one place for the stream and the snapshot. (pure)

| form | columns | JSON | kind |
|---|---|---|---|
| integer | tinyint … int, year | number | |
| bigint | bigint, bit(n) beyond 53 bits | number; string beyond ±(2^53−1) | `int64` where a string |
| boolean | bit(1); tinyint(1): 0 and 1, others stay numbers | true, false | |
| float, double | | number, the shortest that gives the same value | |
| decimal | | string, with the column's scale | `decimal` |
| date | | string as the server prints it, zero and partial dates too | `date` |
| datetime | | ISO 8601, fraction without trailing zeros | `timestamp` |
| timestamp | | ISO 8601 in UTC with `Z`; `0000-00-00T00:00:00Z` | `timestamptz` |
| time | | string, `-838:59:59.5` | `time` |
| text | char, varchar, text, inet4, inet6; enum: its label or ""; set: labels joined by commas | string | |
| bytes | binary (with its padding), varbinary, blob | base64 | `bytes` |
| json | | itself, compact; a string if it is none or nested beyond `JSON_DEPTH` | `json` where a string |
| uuid | | string | `uuid` |
| vector | | array of numbers | |
| geometry | | `{"srid": 0, "wkb": base64}` | `<name>.wkb` is `bytes` |

Text that is not valid in its character set has U+FFFD where it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from cdc.wire_text import RowTypes

Form: TypeAlias = Literal[
    "integer", "bigint", "boolean", "float", "double", "decimal", "date", "datetime", "timestamp", "time", "text",
    "bytes", "json", "uuid", "vector", "geometry",
]  # fmt: skip

SAFE_INTEGER: Final = 2**53 - 1
SAFE_BITS: Final = 53

_KINDS: Final[Mapping[str, str]] = {
    "decimal": "decimal", "date": "date", "datetime": "timestamp", "timestamp": "timestamptz", "time": "time",
    "bytes": "bytes", "uuid": "uuid", "geometry": "bytes",
}  # fmt: skip
_VARYING_KINDS: Final[Mapping[str, str]] = {"bigint": "int64", "json": "json"}


def row_types(columns: Iterable[tuple[str, Form]]) -> RowTypes:
    """The `types` of rows with these columns, name and form."""
    return RowTypes(
        (
            f"{name}.wkb" if form == "geometry" else name,
            _KINDS.get(form) or _VARYING_KINDS.get(form),
            form in _VARYING_KINDS,
        )
        for name, form in columns
    )


def is_varying(form: Form) -> bool:
    """Whether the kind of such a column is told only where its value is marked."""
    return form in _VARYING_KINDS
