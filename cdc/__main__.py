"""`python -m cdc`: tails the databases of a configuration into their logs until it is told to stop."""

from __future__ import annotations

from pathlib import Path

import click

from cdc import options
from cdc.log_output import LogStyle


@click.command()
@options.config_file
@click.option(
    "--db", "databases", multiple=True, metavar="ALIAS", help="Tail only this database (repeatable)."
)
@options.listen("127.0.0.1:4123", "health and metrics")
@options.log_dir
@options.prod
@options.reset_position
@options.logging
def main(
    file: Path,
    databases: tuple[str, ...],
    listen: tuple[str, int],
    log_dir: Path | None,
    *,
    prod: bool,
    reset_position: bool,
    log: LogStyle,
) -> None:
    """Tail databases into the event log (also `python -m cdc`)."""
    from cdc.process import load_config, logs_of, run
    from cdc.serve import serve_tailers

    config = load_config("cdc", file)
    logs = logs_of("cdc", file, config, log_dir, prod=prod)
    work = serve_tailers(config, databases or None, logs, listen, reset_position=reset_position)
    run("cdc", logs.around(work), log=log)


if __name__ == "__main__":
    main(prog_name="python -m cdc")
