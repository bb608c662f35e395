"""What every command does around its work."""

from __future__ import annotations

import resource
import subprocess
import sys

_ASK = """
import resource
from cdc.process import allow_descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
allow_descriptors()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_as_many_descriptors_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = subprocess.run([sys.executable, "-c", _ASK], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["128", "128"]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
