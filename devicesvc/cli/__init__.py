"""The command line: devicesvc serve, check, doctor, migrate, backup, restore, tour, db, token, device, group,
history."""

import logging
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, cast

import click

# The module of each command.
MODULES = {
    "serve": "serve",
    "check": "stores",
    "doctor": "doctor",
    "migrate": "stores",
    "backup": "backup",
    "restore": "backup",
    "tour": "tour",
    "db": "db",
    "token": "tokens",
    "device": "device",
    "group": "group",
    "history": "history",
}


class Commands(Mapping[str, click.Command]):
    """The commands by name. Each is imported when it is asked for, so `device list` does not wait for what `serve`
    needs."""

    def __getitem__(self, name: str) -> click.Command:
        command: click.Command = getattr(import_module(f"devicesvc.cli.{MODULES[name]}"), name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


@click.group(commands=cast(Any, Commands()), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="devicesvc")
def main() -> None:
    """A registry of devices with a REST API. It keeps its data in a CSV file that a person can read."""
    # If Ctrl-C comes while a connection is closed, SQLAlchemy logs a traceback; the command says it in a sentence.
    logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())
