"""`make bench`: every benchmark in turn, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

for file in sorted(Path(__file__).parent.glob("bench_*.py")):
    print(f"\n== {file.stem.removeprefix('bench_')}", flush=True)
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{file.stem}"], check=True)
