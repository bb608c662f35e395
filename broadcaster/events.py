"""Prints a collection's event log."""

from __future__ import annotations

from collections.abc import Callable

from cdc.errors import CursorExpired, LogError
from cdc.log import EventLog


async def show_events(
    log: EventLog, collection: str, start: int | None, *, follow: bool, echo: Callable[[str], None]
) -> None:
    """Print `{"offset":…,"key":…,"value":…}` for each event from offset `start` (None: the oldest kept) to the end as
    it is now, or for ever with `follow`. Raises LogError where there is nothing to read."""
    state = await log.state()
    if state is None and not follow:
        raise LogError("there is no event log yet: start `livetail dev` or `livetail cdc` first")
    oldest, end = (0, 0) if state is None else (state.oldest, state.newest)
    after = oldest if start is None else start - 1
    if not follow and after >= end:
        return
    try:
        reader = await log.reader(after, {collection})
    except CursorExpired as error:
        raise LogError(f"the log keeps offsets {oldest + 1} to {end} only: {error}") from error
    try:
        while follow or after < end:
            for chunk in await reader.read():
                for offset, _, key, value in chunk.entries:
                    text = "null" if value is None else value.decode()
                    echo(f'{{"offset":{offset},"key":{key.decode()},"value":{text}}}')
                after = chunk.end
    finally:
        await reader.close()
