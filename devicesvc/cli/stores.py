"""devicesvc check, migrate"""

import sys
from pathlib import Path

import click

from devicesvc.cli.common import one_sentence, store_argument
from devicesvc.dao.urls import parse


@click.command()
@store_argument
def check(store: str) -> None:
    """Name every fault in STORE by line and column. Nothing is changed. The exit code is 1 if there is a fault."""
    with one_sentence():
        url = parse(store)
        faults, where = url.check(), url.redacted
    for fault in faults:
        click.echo(fault)
    if faults:
        raise click.ClickException(f"Faults in {where}: {len(faults)}.")
    click.echo(f"{where} is in order.")


@click.command()
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
    with one_sentence():
        sys.exit(progress.run(source, target, replace=replace, skip_bad=skip_bad, dry_run=dry_run))
