"""One of several broadcaster processes behind one address, and what they share. (pure)"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Worker:
    """Number `index` (from 0) of `count`. folder: private to the user, the same for all; ticket_key: 32 random bytes,
    the same for all; lifeline: a descriptor that ends (EOF) with the supervisor."""

    index: int
    count: int
    folder: Path
    ticket_key: bytes = field(repr=False)
    lifeline: int

    def socket(self, index: int) -> Path:
        """Where worker `index` tells its siblings about itself."""
        return self.folder / f"worker-{index}.sock"

    @property
    def used_tickets(self) -> Path:
        """The folder in which a ticket's use is marked for all."""
        return self.folder / "tickets"
