"""The command line: devicesvc serve, check, migrate, tour, db, token."""

import click

from devicesvc.cli import db, serve, stores, tokens, tour


@click.group()
@click.version_option(package_name="devicesvc")
def main() -> None:
    """A registry of devices with a REST API. It keeps its data in a CSV file that a person can read."""


for command in (serve.serve, stores.check, stores.migrate, tour.tour, db.db, tokens.token):
    main.add_command(command)
