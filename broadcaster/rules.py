"""A collection's rule and a client's claims to the predicate of what it may read. (pure)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broadcaster.errors import RequestError
from broadcaster.predicate import TRUE, Node


def read_predicate(
    rule: Mapping[str, Any] | None, fallback: Mapping[str, Any] | None, claims: Mapping[str, Any]
) -> Node:
    """The rows that a client with these claims may read.

    rule: the collection's `rules.read`, as `{"rule": "allow"}`; fallback: that of the collection named `default`,
    which holds only where the collection has none. Fails closed: no rule, `deny`, and anything that is not
    understood raise RequestError access_denied, which does not say why.
    """
    decisive = fallback if rule is None else rule
    if isinstance(decisive, Mapping) and decisive.get("rule") == "allow":
        return TRUE
    raise RequestError("access_denied", "the rules do not let you read this collection")
