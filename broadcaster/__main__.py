"""`python -m broadcaster`: the broadcaster alone, as `livetail broadcaster`."""

from broadcaster.cli import broadcaster

broadcaster(prog_name="python -m broadcaster")
