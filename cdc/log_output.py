"""Where log lines go and what they look like: text for people, JSON for programs, one status line for who looks on."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TextIO

_CLEAR: Final = "\r\x1b[2K"


@dataclass(frozen=True, slots=True)
class LogStyle:
    """verbose: details, too; json: each line is a JSON object."""

    verbose: bool = False
    json: bool = False


class JsonLines(logging.Formatter):
    """`{"time", "level", "logger", "message"}`, and where there is one `process` (which of several) and `traceback`."""

    def __init__(self, who: str = "") -> None:
        super().__init__()
        self._who = who

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._who:
            line["process"] = self._who
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Terminal(logging.StreamHandler[TextIO]):
    """Log lines above one status line, which is written over and over again."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._status = ""

    def emit(self, record: logging.LogRecord) -> None:
        if self._status:
            self.stream.write(_CLEAR)
        super().emit(record)
        self._write()

    def show(self, status: str) -> None:
        """Let this be the status line; empty for none."""
        if status or self._status:
            self.stream.write(_CLEAR)
        self._status = status
        self._write()

    def _write(self) -> None:
        self.stream.write(self._status)
        self.stream.flush()


def start_logging(style: LogStyle, who: str = "") -> None:
    """To standard error. Does nothing the second time, unless `who` is given: which of several processes this is."""
    told = f"[{who}] " if who else ""
    text = logging.Formatter(f"%(asctime)s %(levelname)-7s {told}%(message)s")
    stream = sys.stderr
    handler = Terminal(stream) if stream.isatty() and not style.json else logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(who) if style.json else text)
    level = logging.DEBUG if style.verbose else logging.INFO
    logging.basicConfig(level=level, handlers=[handler], force=bool(who))
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def terminal() -> Terminal | None:
    """The terminal that somebody looks at; None if log lines go elsewhere."""
    return next((each for each in logging.getLogger().handlers if isinstance(each, Terminal)), None)
