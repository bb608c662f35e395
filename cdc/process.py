"""What every command does around its work: addresses, logging, signals, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, NoReturn

import click
import uvloop
from aiohttp import web

from cdc.config import Config
from cdc.config_parse import load
from cdc.errors import ConfigError, LivetailError, PositionLost
from cdc.log_output import LogStyle, start_logging
from cdc.logs import Logs

CHECK_FAILED: Final = 1
USAGE: Final = 2
POSITION_LOST: Final = 3
_USUAL: Final = LogStyle()
_STOP_SECONDS: Final = 4.0
_YOUNG_OBJECTS: Final = 20_000
_DESCRIPTORS: Final = 1 << 16
_BACKLOG: Final = 4096
"""Connections that may wait to be accepted; of more, as when all clients come back at once, some are seconds late."""


def load_config(name: str, file: Path) -> Config:
    """The configuration of command `name`; exits where it cannot be used."""
    try:
        return load(file, os.environ)
    except ConfigError as error:
        fail(name, error)


def log_folder(file: Path, config: Config, given: Path | None) -> Path:
    """Where the embedded logs are: as given, or `.livetail/<project>` beside the configuration file."""
    return given or file.resolve().parent / ".livetail" / config.id


def logs_of(name: str, file: Path, config: Config, log_dir: Path | None, *, prod: bool) -> Logs:
    """The event logs that command `name` is to use: on Kafka with `prod`; exits where that cannot be."""
    try:
        if prod and log_dir is not None:
            raise ConfigError(
                "--log-dir is where the embedded log is; with --prod (or PROD=true) it is on Kafka"
            )
        return Logs(config, None if prod else log_folder(file, config, log_dir))
    except ConfigError as error:
        fail(name, error)


async def listen(runner: web.AppRunner, address: tuple[str, int], *, shared: bool = False) -> None:
    """Serve on the address; shared: several processes do. Raises ConfigError, which names `--listen`, where that
    cannot be."""
    await runner.setup()
    try:
        await web.TCPSite(runner, *address, backlog=_BACKLOG, reuse_port=shared).start()
    except OSError as error:
        raise unusable(address, error) from error


def unusable(address: tuple[str, int], error: OSError) -> ConfigError:
    """What to say of an address on which nobody can listen."""
    why = "is in use by another process" if error.errno == errno.EADDRINUSE else f"cannot be used: {error}"
    return ConfigError(f"{address[0]}:{address[1]} {why}; choose another with --listen host:port")


def run(name: str, work: Coroutine[Any, Any, None], log: LogStyle = _USUAL) -> NoReturn:
    """Run until the work is done, or until SIGTERM or SIGINT stops it; exit with the contract's code.

    A mistake of the user's is one line on standard error, never a traceback.
    """
    start_logging(log)
    allow_descriptors()
    _tune_garbage_collection()
    try:
        uvloop.run(_until_stopped(work))
    except (LivetailError, ExceptionGroup) as error:
        fail(name, _first(error), log)
    sys.exit(0)


def _tune_garbage_collection() -> None:
    """What lives as long as the process, as all modules do, is looked at no more; of what comes and goes, as rows and
    frames do by thousands, reference counting frees nearly all, so that cycles are looked for less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


def allow_descriptors() -> None:
    """Take as many file descriptors as the system allows: every client's connection needs one, and the usual limit of
    1,024 is there for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def fail(name: str, error: BaseException, log: LogStyle = _USUAL) -> NoReturn:
    """Say what is wrong and exit with its code; what is no mistake of the user's is raised."""
    if not isinstance(error, LivetailError):
        raise error
    if log.json:
        logging.getLogger(f"livetail.{name}").critical("%s", error)
    else:
        click.echo(f"livetail {name}: {error}", err=True)
    code = (
        POSITION_LOST if isinstance(error, PositionLost) else USAGE if isinstance(error, ConfigError) else 1
    )
    sys.exit(code)


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            asyncio.get_running_loop().call_later(_STOP_SECONDS, leave)
        stopping = True
        task.cancel()

    def leave() -> None:
        """A server that neither answers nor hangs up is waited for no longer; what is durable is durable."""
        logging.getLogger(__name__).warning("stopping took longer than %.0f s; left as it is", _STOP_SECONDS)
        logging.shutdown()
        os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping:
            raise


def _first(error: BaseException) -> BaseException:
    """The first error of a group, which is why the others were stopped."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
