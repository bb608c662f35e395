"""What somebody who follows the documentation has open: a terminal for short commands, others for those that go on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, Queue

from acceptance.processes import free_port
from support.documentation import ROOT

PATIENCE_S = 40


class Terminals:
    """In a folder, with `livetail` on the path. address: what the documentation's addresses are here."""

    def __init__(self, folder: Path, address: Mapping[str, str], stack: ExitStack) -> None:
        port = free_port()
        self._folder = folder
        self._replace = {**address, "localhost:4122": f"127.0.0.1:{port}"}
        self._port = port
        self._stack = stack
        self._exported = ""
        livetail = folder / "bin" / "livetail"
        livetail.parent.mkdir()
        livetail.write_text(f'#!/bin/sh\nexec {sys.executable} -m broadcaster.cli "$@"\n')
        livetail.chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{livetail.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

    def here(self, text: str) -> str:
        """With the addresses of this machine."""
        for there, here in self._replace.items():
            text = text.replace(there, here)
        return text

    def write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(self.here(text))

    def run(self, script: str) -> str:
        """A script that ends well; what it says. What it exports holds for the ones that follow."""
        self._exported += "".join(line + "\n" for line in script.splitlines() if line.startswith("export "))
        done = subprocess.run(
            ["bash", "-e", "-c", self.here(self._exported + script)],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def go_on(self, command: str) -> Lines:
        """A command that goes on until the end of the test; what it says, line by line."""
        errors = self._folder / f"{command.split()[0]}.errors"
        with errors.open("wb") as stderr:  # where curl shows its progress
            process = subprocess.Popen(
                ["bash", "-c", f"{self.here(self._exported)}exec {self.here(command.strip())}"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        lines = Lines(process, errors)
        self._stack.callback(lines.end)
        return lines

    def serve(self, command: str) -> Lines:
        return self.go_on(f"{command.strip()} --listen 127.0.0.1:{self._port}")


class Lines:
    """A process' output."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self._process = process
        self._errors = errors
        self._lines: Queue[str | None] = Queue()
        self._seen: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def until(self, beginning: str) -> str:
        """The next line that begins so."""
        deadline = time.monotonic() + PATIENCE_S
        with contextlib.suppress(Empty):
            while (line := self._lines.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
                self._seen.append(line)
                if line.startswith(beginning):
                    return line
        said = "\n".join(self._seen)
        raise AssertionError(f"no line that begins with {beginning!r}:\n{said}\n{self._errors.read_text()}")

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=PATIENCE_S)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
