"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias

import click

from cdc.log_output import LogStyle

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


def logging(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--verbose` and `--log-format`, which the command gets as `log`, a `LogStyle`."""

    @click.option("-v", "--verbose", is_flag=True, help="Log details.")
    @click.option(
        "--log-format",
        type=click.Choice(("text", "json")),
        default="text",
        show_default=True,
        envvar="LOG_FORMAT",
        help="How log lines look. Also LOG_FORMAT=json.",
    )
    @wraps(command)
    def logged(*given: Any, verbose: bool, log_format: str, **options: Any) -> Any:
        return command(*given, log=LogStyle(verbose, log_format == "json"), **options)

    return logged


def listen(default: str, what: str) -> Decorator:
    """`--listen`, the address of `what`."""
    return click.option(
        "--listen", type=Address(), default=default, show_default=True, help=f"Address of {what}."
    )
