"""Addresses on the command line."""

from __future__ import annotations

import click


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
