"""`make bench`: every benchmark in turn (or those named), each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PATH = os.pathsep.join([str(HERE.parent.parent), str(HERE.parent)])

for file in sorted(HERE.glob("bench_*.py")):
    name = file.stem.removeprefix("bench_")
    if not sys.argv[1:] or name in sys.argv[1:]:
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, file], check=True, env={**os.environ, "PYTHONPATH": PATH})
