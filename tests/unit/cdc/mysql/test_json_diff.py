from __future__ import annotations

import pytest

from cdc.mysql.json_diff import apply


def _diff(operation: int, path: str, value: bytes = b"") -> bytes:
    counted = bytes([len(path.encode())]) + path.encode()
    return bytes([operation]) + counted + (bytes([len(value)]) + value if operation < 2 else b"")


NINE = b"\5\x09\0"
DOC = '{"a":1,"bb":[1.50,{"c":"x"}],"\xc3\xa9\\".":{}}'  # wire text


@pytest.mark.parametrize(
    ("diffs", "after"),
    [
        (_diff(0, "$.a", NINE), DOC.replace('"a":1', '"a":9')),
        (_diff(0, "$.bb[1].c", NINE), DOC.replace('"x"', "9")),
        (_diff(1, "$.bb[0]", NINE), DOC.replace("[1.50", "[9,1.50")),
        (_diff(1, "$.bb[7]", NINE), DOC.replace('"}]', '"},9]')),
        (_diff(2, "$.bb[0]"), DOC.replace("1.50,", "")),
        (_diff(2, "$.bb[1].c"), DOC.replace('"c":"x"', "")),
        (_diff(1, "$.b", NINE), DOC.replace('"a":1', '"a":1,"b":9')),
        (_diff(0, '$."é\\"."', NINE), DOC.replace("{}", "9")),
        (_diff(0, "$", NINE), "9"),
        (_diff(2, "$.a") + _diff(1, "$.a", NINE), DOC.replace('"a":1', '"a":9')),
    ],
)
def test_diffs(diffs: bytes, after: str) -> None:
    assert apply(DOC, diffs) == after


@pytest.mark.parametrize(
    "diffs",
    [
        b"\3\3$.a", b"\0\3$.a", b"\0\x09$.a", b"\2", _diff(0, "$.none", NINE), _diff(0, "$.bb[9]", NINE),
        _diff(2, "$.none"),         _diff(1, "$.a", NINE), _diff(0, "$.a.b", NINE),
        _diff(0, "$[0]", NINE), _diff(0, "a", NINE), _diff(2, "$"),
        _diff(0, "$..a", NINE),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(diffs: bytes) -> None:
    with pytest.raises((ValueError, LookupError)):
        apply(DOC, diffs)
