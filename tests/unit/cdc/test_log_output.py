"""What log lines look like."""

from __future__ import annotations

import io
import json
import logging

from cdc.log_output import JsonLines, Terminal

CLEAR = "\r\x1b[2K"


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("cdc.x", logging.WARNING, __file__, 1, message, (), None)


def test_which_of_several_processes_stands_in_json() -> None:
    line = json.loads(JsonLines("worker 3").format(record("hi")))
    assert (line["process"], line["level"], line["message"]) == ("worker 3", "warning", "hi")
    assert "process" not in json.loads(JsonLines().format(record("hi")))


def test_log_lines_stand_above_the_status_line() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.emit(record("one"))
    terminal.show("10 s behind")
    terminal.emit(record("two"))
    terminal.show("5 s behind")
    terminal.show("")
    terminal.show("")
    terminal.emit(record("three"))
    assert stream.getvalue() == (
        f"one\n{CLEAR}10 s behind{CLEAR}two\n10 s behind{CLEAR}5 s behind{CLEAR}three\n"
    )
