"""The exception tree. A class's docstring is its default message.

Every message is written for the person who must act on it: what is wrong, where, and how to mend it.
No message ever carries a password, a token or a connection string.
"""

from __future__ import annotations

import inspect


class LivetailError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(self.__doc__ or "").partition("\n")[0])


class ConfigError(LivetailError):
    """The configuration cannot be used."""


class ProtocolError(LivetailError):
    """The database's log holds something that this decoder does not understand; the tailer stops before it."""


class SourceUnavailable(LivetailError):
    """The database cannot be reached or refuses us for now; retried with back-off."""


class SetupError(SourceUnavailable):
    """The database lacks something that the tailer needs; retried, since an operator may mend it meanwhile."""


class PositionLost(LivetailError):
    """The database no longer holds the log from where we stopped: changes are missing, an operator must choose."""


class LogError(LivetailError):
    """The event log cannot be written or read for now; retried with back-off."""


class LogInUse(LogError):
    """Another tailer writes this log; there is exactly one per database."""


class CursorExpired(LivetailError):
    """The log does not hold what follows this place any more."""


class EpochChanged(LivetailError):
    """The log was started anew; offsets of its earlier life mean nothing."""
