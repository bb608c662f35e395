"""The `livetail` command: the one place that wires `cdc` and `broadcaster` together.

What a command needs is imported when it runs, so that `--help` is quick.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from cdc import VERSION, kernel, options
from cdc.__main__ import main as cdc_command

if TYPE_CHECKING:
    from broadcaster.demo.demo import Kind
    from broadcaster.worker import Worker
    from cdc.log_output import LogStyle

_listen = options.listen("127.0.0.1:4122", "the API, health and metrics")


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"livetail {VERSION}, kernel: {kernel.describe()}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
def main() -> None:
    """Live queries for the databases people already have.

    Start with `livetail demo`, which needs nothing. Then describe your own database in a YAML file and run
    `livetail check -c FILE` and `livetail dev -c FILE`.
    """


main.add_command(cdc_command, "cdc")


@main.command()
@_listen
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the demo's database keeps its data. [default: a temporary folder]",
)
@click.option(
    "--db",
    type=click.Choice(("postgres", "mongo", "mysql", "mariadb")),
    default="postgres",
    show_default=True,
    help="The database to play with.",
)
@options.logging
def demo(listen: tuple[str, int], data_dir: Path | None, db: Kind, *, log: LogStyle) -> None:
    """Play with live queries on a database of the demo's own, on a page of its own."""
    from broadcaster.demo.demo import run_demo
    from cdc.process import run

    run("demo", run_demo(db, listen, data_dir, click.echo), log=log)


@main.command()
@options.config_file
@_listen
@options.log_dir
@options.reset_position
@options.logging
def dev(
    file: Path, listen: tuple[str, int], log_dir: Path | None, *, reset_position: bool, log: LogStyle
) -> None:
    """Tailers and broadcaster in one process, over an embedded event log."""
    from broadcaster.dev import serve_dev
    from broadcaster.serve import base_url
    from cdc.process import load_config, log_folder, run

    config = load_config("dev", file)
    folder = log_folder(file, config, log_dir)

    def on_ready() -> None:
        base = f"http://{listen[0]}:{listen[1]}/v1/api/{config.id}/realtime"
        click.echo(f"Ready. Write live queries and watch them: {base_url(listen)}/")
        click.echo("or in a terminal:")
        for alias in config.databases:
            for collection in config.realtime_collections(alias):
                click.echo(f"  curl -N '{base}/{alias}/{collection}'")

    click.echo(f"Serving {config.id} on http://{listen[0]}:{listen[1]}, event log in {folder}")
    run(
        "dev",
        serve_dev(config, listen=listen, log_dir=folder, reset_position=reset_position, on_ready=on_ready),
        log=log,
    )


@main.command()
@options.config_file
@_listen
@options.log_dir
@options.prod
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many processes serve the address together.",
)
@options.logging
def broadcaster(
    file: Path, listen: tuple[str, int], log_dir: Path | None, *, prod: bool, workers: int, log: LogStyle
) -> None:
    """Serve live queries from the event log (also `python -m broadcaster`)."""
    from prometheus_client import CollectorRegistry

    from broadcaster.serve import serve
    from broadcaster.supervisor import supervise, supervised
    from cdc.errors import ConfigError
    from cdc.log_output import start_logging
    from cdc.process import fail, load_config, logs_of, run

    config = load_config("broadcaster", file)
    logs = logs_of("broadcaster", file, config, log_dir, prod=prod)
    if workers == 1:
        run("broadcaster", logs.around(serve(config, logs, CollectorRegistry(), listen)), log=log)

    def live(worker: Worker, address: tuple[str, int]) -> NoReturn:
        start_logging(log, who=f"worker {worker.index}")
        work = serve(config, logs, CollectorRegistry(), address, worker=worker)
        run("broadcaster", logs.around(supervised(worker, work)), log)

    start_logging(log)
    try:
        supervise(workers, listen, live)
    except ConfigError as error:
        fail("broadcaster", error, log)


@main.command()
@click.argument("conn", metavar="URL")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write this file, which must not be there. [default: print it]",
)
@click.option("--id", "project", metavar="NAME", help="The project's name. [default: the database's]")
@click.option("--live", multiple=True, metavar="COLLECTION", help="Make it live, for everybody (repeatable).")
def init(conn: str, output: Path | None, project: str | None, live: tuple[str, ...]) -> None:
    """Look at a database, and write a configuration for it with comments.

    URL is as in the configuration: postgresql://user@host/database, mongodb://…, mysql://…; `${NAME}` in it is taken
    from the environment (mind the shell: quote it). No secret goes into the file.

    \b
      livetail init 'postgresql://app:${PGPASSWORD}@localhost/app' --live todos -o app.yaml
    """
    import os

    from cdc.draft import draft
    from cdc.errors import ConfigError, LivetailError
    from cdc.process import fail

    where = str(output or "configuration")
    try:
        made = asyncio.run(draft(conn, project, live, os.environ, where))
        if output is None:
            click.echo(made.text, nl=False)
        else:
            with output.open("x", encoding="utf-8") as file:
                file.write(made.text)
    except FileExistsError:
        fail("init", ConfigError(f"{output} is there already; choose another name"))
    except OSError as error:
        fail("init", ConfigError(f"{output} cannot be written: {error.strerror}"))
    except LivetailError as error:
        fail("init", error)
    able = [entry for entry in made.entries if not entry.problems]
    count = sum(entry.live for entry in able)
    click.echo(f"{len(made.entries)} collections, {len(able)} can be live, {count} are.", err=True)
    for entry in made.entries:
        if entry.problems:
            click.echo(f"  {entry.name} cannot be: {entry.problems[0]}", err=True)
        for need in entry.needs if entry.live else ():
            click.echo(f"  {entry.name} needs {need}", err=True)
    for requirement in made.unmet:
        click.echo(f"  {_mark(False)} {requirement.name}: {requirement.detail}", err=True)
        if requirement.fix:
            click.echo(f"         {requirement.fix}", err=True)
    if made.variables:
        click.echo(f"In the environment there must be: {', '.join(made.variables)}", err=True)
    if output is not None:
        click.echo(f"Next: `livetail check -c {output}`, then `livetail dev -c {output}`.", err=True)


@main.command()
@options.config_file
def check(file: Path) -> None:
    """Tell for every requirement of every database whether it is met, or the statement that mends it."""
    from cdc.connector import connector_of
    from cdc.errors import ConfigError, LivetailError
    from cdc.process import CHECK_FAILED, fail, load_config

    config = load_config("check", file)
    failed = 0
    for alias in config.databases:
        if not config.realtime_collections(alias):
            click.echo(f"{alias}: no collection is realtime-enabled; nothing to check")
            continue
        click.echo(f"{alias}:")
        try:
            requirements = asyncio.run(connector_of(config, alias).requirements())
        except ConfigError as error:
            fail("check", error)
        except LivetailError as error:
            click.echo(f"  {_mark(False)} {error}")
            failed += 1
            continue
        for requirement in requirements:
            click.echo(f"  {_mark(requirement.ok)} {requirement.name}: {requirement.detail}")
            if requirement.ok:
                continue
            failed += 1
            if requirement.fix:
                click.echo(f"         {requirement.fix}")
            if requirement.automatic:
                click.echo("         (`livetail dev` and `livetail cdc` do this by themselves)")
    if failed:
        raise SystemExit(CHECK_FAILED)


@main.command()
@options.config_file
@click.option(
    "--tailer",
    type=options.Address(),
    default="127.0.0.1:4123",
    show_default=True,
    help="The `--listen` address of the running tailer, or of `livetail dev`.",
)
@click.argument("database", metavar="DB")
@click.argument("collection")
def snapshot(file: Path, tailer: tuple[str, int], database: str, collection: str) -> None:
    """Have all rows of a collection written into the event log, as events `r`, while the tailer goes on."""
    from cdc.process import load_config, run
    from cdc.snapshot.ask import ask_for_snapshot

    config = load_config("snapshot", file)
    run("snapshot", ask_for_snapshot(config, tailer, database, collection, click.echo))


@main.command()
@options.config_file
@options.log_dir
@options.prod
@click.argument("database", metavar="DB")
@click.argument("collection")
@click.option("--from", "start", type=int, metavar="OFFSET", help="First offset. [default: the oldest kept]")
@click.option("--follow", is_flag=True, help="Go on as events come.")
def events(
    file: Path,
    log_dir: Path | None,
    database: str,
    collection: str,
    start: int | None,
    *,
    prod: bool,
    follow: bool,
) -> None:
    """Show the event log of a collection, one JSON object a line."""
    from broadcaster.events import show_events
    from cdc.errors import ConfigError
    from cdc.process import fail, load_config, logs_of, run

    config = load_config("events", file)
    if collection not in config.realtime_collections(database):
        known = [
            f"{alias} {name}" for alias in config.databases for name in config.realtime_collections(alias)
        ]
        fail(
            "events",
            ConfigError(f"no live collection `{database} {collection}`; there is: {', '.join(known)}"),
        )
    logs = logs_of("events", file, config, log_dir, prod=prod)
    work = show_events(logs(database), collection, start, follow=follow, echo=click.echo)
    run("events", logs.around(work))


@main.command()
@options.config_file
@options.log_dir
@options.prod
@click.option("--json", "json_wanted", is_flag=True, help="For programs: one JSON object.")
def status(file: Path, log_dir: Path | None, *, prod: bool, json_wanted: bool) -> None:
    """Show how every database and its event log stand: positions, lag, what is kept. Exit code 1: not all is well."""
    import json

    from cdc.errors import ConfigError
    from cdc.process import CHECK_FAILED, fail, load_config, logs_of
    from cdc.status import DatabaseStatus, as_json, as_table
    from cdc.survey import survey

    config = load_config("status", file)
    logs = logs_of("status", file, config, log_dir, prod=prod)
    found: list[DatabaseStatus] = []

    async def ask() -> None:
        found.extend(await survey(config, logs))

    try:
        asyncio.run(logs.around(ask()))
    except ConfigError as error:
        fail("status", error)
    if json_wanted:
        click.echo(json.dumps(as_json(config.id, found), ensure_ascii=False))
    else:
        for line, ok in as_table(found) or [("no collection is realtime-enabled; nothing to tell", True)]:
            click.echo(line if ok else click.style(line, fg="red"))
    if not all(database.ok for database in found):
        raise SystemExit(CHECK_FAILED)


def _mark(ok: bool) -> str:
    return click.style("ok    ", fg="green") if ok else click.style("UNMET ", fg="red")


if __name__ == "__main__":
    main()
