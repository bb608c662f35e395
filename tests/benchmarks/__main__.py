"""`make bench`: every benchmark in turn (or those named), each in a process of its own, with the options given."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PATH = os.pathsep.join([str(HERE.parent.parent), str(HERE.parent)])

given = sys.argv[1:]
begin_of_options = next((at for at, word in enumerate(given) if word.startswith("-")), len(given))
names, options = given[:begin_of_options], given[begin_of_options:]
for file in sorted(HERE.glob("bench_*.py")):
    name = file.stem.removeprefix("bench_")
    if not names or name in names:
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, file, *options], check=True, env={**os.environ, "PYTHONPATH": PATH})
