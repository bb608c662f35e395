from __future__ import annotations

from typing import Any

import pytest

from broadcaster.errors import RequestError
from broadcaster.predicate import TRUE
from broadcaster.rules import read_predicate

ALLOW, DENY = {"rule": "allow"}, {"rule": "deny"}


@pytest.mark.parametrize(("rule", "fallback"), [(ALLOW, None), (ALLOW, DENY), (None, ALLOW)])
def test_allowed(rule: Any, fallback: Any) -> None:
    assert read_predicate(rule, fallback, {}) == TRUE


@pytest.mark.parametrize(
    ("rule", "fallback"),
    [
        (None, None),
        (DENY, None),
        (DENY, ALLOW),
        (None, DENY),
        ({}, ALLOW),
        ({"rule": "Allow"}, ALLOW),
        ({"rule": "authenticated"}, ALLOW),
        ({"rule": ["allow"]}, ALLOW),
        ("allow", ALLOW),
    ],
)
def test_everything_else_is_denied(rule: Any, fallback: Any) -> None:
    with pytest.raises(RequestError) as denied:
        read_predicate(rule, fallback, {"sub": "u1"})
    assert (denied.value.code, denied.value.status) == ("access_denied", 403)
