"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class Address(click.ParamType[tuple[str, int]]):
    """`host:port` on the command line, as (host, port)."""

    name = "host:port"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            self.fail(f"{value!r} is not host:port, such as 127.0.0.1:4122", param, ctx)
        return host.strip("[]"), int(port)


config_file: Decorator = click.option(
    "-c",
    "--config",
    "file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The project's YAML file.",
)
log_dir: Decorator = click.option(
    "--log-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the embedded event log is. [default: .livetail/<project> beside the file]",
)
prod: Decorator = click.option(
    "--prod",
    is_flag=True,
    envvar="PROD",
    help="The event log is on Kafka (`modules.realtime.kafka`), not embedded. Also PROD=true.",
)
reset_position: Decorator = click.option(
    "--reset-position",
    is_flag=True,
    help="Where the database's log was lost: go on from now. All live queries start over.",
)
verbose: Decorator = click.option("-v", "--verbose", is_flag=True, help="Log details.")


def listen(default: str, what: str) -> Decorator:
    """`--listen`, the address of `what`."""
    return click.option(
        "--listen", type=Address(), default=default, show_default=True, help=f"Address of {what}."
    )
