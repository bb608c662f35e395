"""`python -m cdc` as a process of its own: started, looked at, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")

CONFIG = """\
id: todo-app
modules:
  crud:
    db:
      type: postgres
      conn: {conn}
      slot: {slot}
      publication: livetail
      collections:
{collections}
"""


def configuration(conn: str, slot: str, *collections: str) -> str:
    """The text of a configuration file."""
    lines = (
        f"        {name}: {{isRealtimeEnabled: true, rules: {{read: {{rule: allow}}}}}}"
        for name in collections
    )
    return CONFIG.format(conn=conn, slot=slot, collections="\n".join(lines))


@dataclass
class TailerProcess:
    """One run of the tailer; its output is in `<folder>/tailer.log`, its event log in `<folder>/log`."""

    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path, config: str, options: Sequence[str] | None = None) -> TailerProcess:
        """Write the configuration and start; it listens on a free port. options: None for a log in the folder."""
        if options is None:
            options = ["--log-dir", str(folder / "log")]
        file = folder / "livetail.yaml"
        file.write_text(config)
        with (folder / "tailer.log").open("ab") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "cdc",
                    "-c",
                    file,
                    *options,
                    "--listen",
                    "127.0.0.1:0",
                ],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=output,
            )
        return cls(folder, process)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)

    def peak_memory_mb(self) -> int:
        """Its largest resident set so far."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
        raise AssertionError("no VmHWM")

    def cpu_seconds(self) -> float:
        """CPU time used so far, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def output(self) -> str:
        """What it said."""
        return (self.folder / "tailer.log").read_text()
