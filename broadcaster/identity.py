"""Who a client is. (pure)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Identity:
    """A client with a valid token: its claims, and when they end (Unix seconds)."""

    claims: Mapping[str, Any]
    expires: float
