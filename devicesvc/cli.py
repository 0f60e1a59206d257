"""The command line: devicesvc serve, check, migrate, tour, db, token."""

import logging.config
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from devicesvc import tokens
from devicesvc.config import DEFAULTS, THREADS, WORKERS
from devicesvc.dao.urls import StoreUrl, parse
from devicesvc.errors import RegistryError

log = logging.getLogger(__name__)


@click.group()
@click.version_option(package_name="devicesvc")
def main() -> None:
    """A registry of devices with a REST API. It keeps its data in a CSV file that a person can read."""


@main.command(context_settings={"show_default": True})
@click.argument("store", envvar="DEVICESVC_STORE", default=DEFAULTS["STORE"])
@click.option("--host", default="0.0.0.0", help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, help="The port to listen on.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=WORKERS,
    envvar="WEB_CONCURRENCY",
    show_envvar=True,
    help="How many processes.",
)
@click.option("--threads", type=click.IntRange(1, 512), default=THREADS, help="How many threads in each.")
def serve(store: str, host: str, port: int, workers: int, threads: int) -> None:
    """Serve the registry in STORE: the path of a CSV file, sqlite:///PATH, postgresql+psycopg://..., or
    mysql+pymysql://... for MariaDB and MySQL.

    Without STORE: the value of DEVICESVC_STORE in the environment, or ./device.csv. If the file does not exist, it is
    made with five sample devices. An SQLite file of an older version is upgraded. Stop with Ctrl-C.
    """
    os.environ["WEB_CONCURRENCY"] = str(workers)  # gunicorn reads it while it is imported, and a wrong one ends it
    from devicesvc import server

    logging.config.dictConfig(server.logconfig_dict)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    _check_free(host, port)
    # Until gunicorn has its own handler: this may be process 1 of a container, which ignores signals without one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _one_sentence():
        url = parse(store)
    if url.kind.schema_by:
        # In a process of its own: otherwise gunicorn's parent keeps the memory that Alembic takes.
        preparing = multiprocessing.get_context("fork").Process(target=_prepare_tables, args=[url], daemon=True)
        preparing.start()
        preparing.join()
        if preparing.exitcode:
            sys.exit(preparing.exitcode)
    server.Server({"STORE": store}, bind=[address], workers=workers, threads=threads).run()


@main.command()
@click.argument("store", envvar="DEVICESVC_STORE", default=DEFAULTS["STORE"])
def check(store: str) -> None:
    """Name every fault in STORE by line and column. Nothing is changed. The exit code is 1 if there is a fault."""
    with _one_sentence():
        url = parse(store)
        faults, where = url.check(), url.redacted
    for fault in faults:
        click.echo(fault)
    if faults:
        raise click.ClickException(f"Faults in {where}: {len(faults)}.")
    click.echo(f"{where} is in order.")


@main.command()
@click.argument("source")
@click.argument("target")
@click.option("--replace", is_flag=True, help="Replace TARGET if it exists.")
@click.option(
    "--skip-bad",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="REJECTED.CSV",
    help="Leave out rows that break a rule, and write them to this file with the reasons.",
)
@click.option("--dry-run", is_flag=True, help="Only check: nothing is written.")
def migrate(source: str, target: str, replace: bool, skip_bad: Path | None, dry_run: bool) -> None:
    """Write all of SOURCE to TARGET: devices, groups and memberships.

    Each is the path of a CSV file, or the URL of a database: sqlite:///device.db, postgresql+psycopg://... or
    mysql+pymysql://...

    Every row is checked. If a row breaks a rule, the faults are named and nothing is written. Everything that is
    written is read again and compared. SOURCE is never changed, and may be in use. TARGET is written completely or not
    at all.
    """
    try:
        from devicesvc.transfer import progress  # not at the top: the service does not need it
    except KeyboardInterrupt:
        click.echo("Interrupted before anything was done.", err=True)
        sys.exit(130)
    with _one_sentence():
        sys.exit(progress.run(source, target, replace=replace, skip_bad=skip_bad, dry_run=dry_run))


@main.command()
@click.argument("url")
@click.option(
    "--token", envvar="DEVICESVC_TOKEN", help="A token that may write. Default: DEVICESVC_TOKEN in the environment."
)
def tour(url: str, token: str | None) -> None:
    """Make the calls of the lab, and some on groups, to the service at URL, such as http://localhost:8000.

    Shows each call and its answer, and checks the answer. The last line begins with ok if all answers are right;
    otherwise each difference is named and the exit code is 1. At the end the registry has the same content as before,
    also after Ctrl-C.
    """
    from devicesvc.tour import run  # not at the top: the service does not need it

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the changes are undone
    try:
        with _one_sentence():
            sys.exit(1 if run(url, token) else 0)
    except KeyboardInterrupt:
        click.echo("Interrupted: the tour has undone its changes, except for those named above.", err=True)
        sys.exit(130)


@main.group()
def db() -> None:
    """The tables of a database: STORE is sqlite:///device.db, sqlite:////an/absolute/path.db,
    postgresql+psycopg://user:password@host/name or mysql+pymysql://user:password@host/name.

    Without STORE: the value of DEVICESVC_STORE in the environment.
    """


@db.command("upgrade")
@click.argument("store", envvar="DEVICESVC_STORE", default=DEFAULTS["STORE"])
def upgrade_db(store: str) -> None:
    """Make the tables in STORE, or upgrade them to the newest revision. For SQLite, serve does this itself."""
    with _one_sentence():
        click.echo(_upgrade(store))


@db.command("downgrade")
@click.argument("store", envvar="DEVICESVC_STORE", default=DEFAULTS["STORE"])
@click.option("--to", "revision", metavar="REVISION", required=True, help='Such as 0001, or "base" for no tables.')
@click.confirmation_option(prompt="Some tables or columns are removed, and their data is lost. Continue?")
def downgrade_db(store: str, revision: str) -> None:
    """Change the tables in STORE to those of an earlier revision."""
    with _one_sentence():
        schema, where = _schema(store), parse(store).redacted
        undone = schema.downgrade(store, revision)
    click.echo(f"Downgraded {where}: without {', '.join(undone)}." if undone else f"{where} is at {revision} already.")


@db.command("current")
@click.argument("store", envvar="DEVICESVC_STORE", default=DEFAULTS["STORE"])
def current_db(store: str) -> None:
    """Show the revision of the tables in STORE. Nothing is changed."""
    with _one_sentence():
        schema, where = _schema(store), parse(store).redacted
        current, head = schema.current(store), schema.head()
    if current == head:
        click.echo(f"{where} is up to date ({head}).")
    else:
        at = f"is at {current}" if current else "has no tables"
        click.echo(f"{where} {at}: devicesvc db upgrade brings it to {head}.")


@main.group()
def token() -> None:
    """Tokens, for a service that only some may call."""


@token.command("create")
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(tokens.SCOPES), required=True, help="What the token may do; write includes read."
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="DEVICESVC_TOKENS_FILE",
    required=True,
    help="The tokens file. Default: DEVICESVC_TOKENS_FILE in the environment.",
)
def create_token(name: str, scope: str, file: Path) -> None:
    """Make a token called NAME, and print it. The tokens file gets only its hash."""
    with _one_sentence():
        secret = tokens.create(file, name, scope)
    click.echo(secret)
    click.echo(f"Keep this token: it is not shown again. Send it as  Authorization: Bearer {secret}", err=True)


def _prepare_tables(url: StoreUrl) -> None:
    """Upgrade an SQLite file, and see that any other database is up to date: a fault ends the command before gunicorn
    starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this process
    try:
        if url.kind.upgraded_at_start:
            log.info(_upgrade(url.text))
        else:
            url.schema().must_be_current(url.text)
    except RegistryError as error:
        sys.exit(f"Error: {error}")


def _schema(store: str) -> Any:
    """The module devicesvc.migrations. If the store is a CSV file, end the command with one sentence."""
    schema = parse(store).schema()
    if not schema:
        click.echo(f"{store} is a CSV file, which has no tables and needs no upgrade.")
        click.get_current_context().exit()
    return schema


def _upgrade(store: str) -> str:
    """Upgrade the database, and return a sentence that says what was done."""
    schema, where = _schema(store), parse(store).redacted
    if applied := schema.upgrade(store):
        return f"Upgraded {where}: {', '.join(applied)}."
    return f"{where} is up to date ({schema.head()})."


def _check_free(host: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does, right after a restart
            probe.bind((host, port))
    except (OSError, TypeError, UnicodeError) as error:  # TypeError: "encoding of hostname failed"
        reason = error.strerror if isinstance(error, OSError) else "this is not the name of a host"
        raise click.ClickException(
            f"Cannot listen on {host}, port {port}: {reason}. Choose another with --port or --host."
        ) from error


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Show a RegistryError as its sentence, not as a traceback."""
    try:
        yield
    except RegistryError as error:
        raise click.ClickException(str(error)) from error
