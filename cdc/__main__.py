"""`python -m cdc`: tails the databases of a configuration into their logs until it is told to stop."""

from __future__ import annotations

from pathlib import Path

import click

from cdc.address import Address


@click.command()
@click.option(
    "-c",
    "--config",
    "file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The project's YAML file.",
)
@click.option(
    "--db", "databases", multiple=True, metavar="ALIAS", help="Tail only this database (repeatable)."
)
@click.option(
    "--listen",
    type=Address(),
    default="127.0.0.1:4123",
    show_default=True,
    help="Address of health and metrics.",
)
@click.option(
    "--log-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the embedded event log is. [default: .livetail/<project> beside the file]",
)
@click.option(
    "--reset-position",
    is_flag=True,
    help="Where the database's log was lost: go on from now. All live queries start over.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log details.")
def main(
    file: Path,
    databases: tuple[str, ...],
    listen: tuple[str, int],
    log_dir: Path | None,
    *,
    reset_position: bool,
    verbose: bool,
) -> None:
    """Tail databases into the event log (also `python -m cdc`)."""
    from cdc.process import load_config, log_folder, run
    from cdc.serve import serve_tailers

    config = load_config("cdc", file)
    folder = log_folder(file, config, log_dir)
    work = serve_tailers(config, databases or None, folder, listen, reset_position=reset_position)
    run("cdc", work, verbose=verbose)


if __name__ == "__main__":
    main(prog_name="python -m cdc")
