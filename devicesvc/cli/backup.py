"""devicesvc backup, restore"""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devicesvc.backups import parse_rule
from devicesvc.cli.common import one_sentence, store_argument
from devicesvc.dao.history import RESTORE
from devicesvc.dao.urls import parse
from devicesvc.errors import StoreUnavailable

if TYPE_CHECKING:  # devicesvc.transfer is imported in the functions: the service does not need it
    from devicesvc.transfer.backup import Content

REPLACED = ".replaced"  # ends the name of what a restore has replaced: no rule deletes it, and it is never the newest


@click.command()
@store_argument
@click.argument("folder", type=click.Path(path_type=Path), envvar="DEVICESVC_BACKUPS")
@click.option("--keep", metavar="7d,4w,12m", help="Then delete all but the newest of the last days, weeks and months.")
def backup(store: str, folder: Path, keep: str | None) -> None:
    """Make a backup of STORE in FOLDER.

    A backup is a folder of CSV files, called by its time in UTC.

    Without FOLDER: the value of DEVICESVC_BACKUPS in the environment. Use a folder for each registry. The service may
    run meanwhile. Every row is checked, read back and compared. A backup that fails or is killed leaves nothing that
    looks like one, and deletes nothing.

    --keep 7d,4w,12m keeps the newest backup of each of the last 7 days, 4 weeks and 12 months that have one, and all
    of the last 24 hours. It deletes the others. Without --keep nothing is deleted.

    devicesvc restore puts a backup back.
    """
    with one_sentence(), _interruptible("if there is a new backup, it is complete"):
        from devicesvc.transfer.backup import back_up
        from devicesvc.transfer.progress import Screen

        rule = parse_rule(keep) if keep is not None else None
        with closing(Screen()) as screen:
            done = back_up(store, folder, rule=rule, watcher=screen)
        if not done.backup:
            raise _bad_rows(done.content, "There is no new backup")
        click.echo(f"Saved {done.content.label} in {done.backup}: {done.content}; read back, and the same.")
        for path in done.deleted:
            click.echo(f"Deleted {path}.")


@click.command()
@click.argument("backup", type=click.Path(path_type=Path))
@store_argument
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Save what STORE holds now in this folder. Default: the folder that BACKUP is in.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(backup: Path, store: str, save: Path | None, yes: bool) -> None:
    """Put BACKUP in the place of all that STORE holds.

    BACKUP is a folder that devicesvc backup has made.

    Without STORE: the value of DEVICESVC_STORE in the environment, or ./device.csv. It may be a store of any kind, and
    the service may run meanwhile.

    Says how much both hold, and asks. Then it saves what STORE holds beside the backups, under a name that ends with
    .replaced: restore that one to take this back. What clients change after that, before the restore has ended, is
    lost.
    """
    with one_sentence(), _interruptible("the store is as it was before, or it is completely restored"):
        from devicesvc.transfer.backup import content, exists, verified
        from devicesvc.transfer.mover import Result, migrate
        from devicesvc.transfer.progress import Screen

        name, source = parse(store).redacted, verified(backup)
        wanted, now = content(source), _held(store) if exists(store) else None
        if wanted.rejected:
            raise _bad_rows(wanted, "Nothing was restored")
        click.echo(f"{backup} holds {wanted}.")
        click.echo(f"{name} holds {now}." if now else f"{name} is not there: it will be made.")
        if not yes:
            click.confirm(f"Replace all that {name} holds?", abort=True)
        if now:
            _save(store, name, now, save or backup.absolute().parent)
        with closing(Screen()) as screen:
            migrate(Result(source, store), replace=True, watcher=screen, who=RESTORE)
        click.echo(f"Restored {name}: {wanted}; read back, and the same.")


def _held(store: str) -> "Content | str":
    """What a store holds now, or in words why it cannot be read: then it needs a restore all the more."""
    from devicesvc.transfer.backup import content

    try:
        return content(store)
    except StoreUnavailable as error:
        return f"what cannot be read: {str(error).rstrip('.')}"


def _save(store: str, name: str, now: "Content | str", folder: Path) -> None:
    """Save what a store holds in a backup; if it is broken, as a copy of its files. Raises StoreUnavailable."""
    from devicesvc.transfer.backup import back_up, save_files

    if not isinstance(now, str) and not now.rejected:
        click.echo(f"Saved {name} as it was in {back_up(store, folder, suffix=REPLACED).backup}.")
    elif files := save_files(store, folder):
        click.echo(f"Saved the files of {name} as they were in {files}. This is not a backup, because of the faults.")
    else:
        words = "devicesvc migrate with --replace replaces it without that"
        raise StoreUnavailable(f"{name} cannot be saved, so nothing was restored: it holds {now}. {words}.")


def _bad_rows(content: "Content", consequence: str) -> click.ClickException:
    """Name the first bad rows; the error to raise."""
    for bad in content.first_rejected:
        click.echo(str(bad), err=True)
    return click.ClickException(
        f"{consequence}: {content.label} has bad rows ({content.rejected:,}). Mend them, and try again."
    )


@contextmanager
def _interruptible(outcome: str) -> Iterator[None]:
    """After Ctrl-C, say what is so, and end with 130."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"Interrupted: {outcome}.", err=True)
        sys.exit(130)
