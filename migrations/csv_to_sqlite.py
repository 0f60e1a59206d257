"""From CSV files to an SQLite database: python migrations/csv_to_sqlite.py device.csv device.db

The same as  devicesvc migrate device.csv sqlite:///device.db  and with the same options.
"""

import sys
from typing import Any

try:
    import click
    from sqlalchemy import URL

    from devicesvc.cli.stores import migrate
except ModuleNotFoundError as error:
    sys.exit(f"This Python does not have {error.name}: use .venv/bin/python, made by make run, or pip install . first.")


def to_sqlite(source: str, target: str, **options: Any) -> None:
    """Write the registry in the CSV file SOURCE to the SQLite file TARGET: devices, groups and memberships.

    Every row is checked. If a row breaks a rule, the faults are named and nothing is written. SOURCE is never changed,
    and may be in use. TARGET is written completely or not at all.
    """
    url = URL.create("sqlite", database=target).render_as_string()
    click.get_current_context().invoke(migrate, source=source, target=url, **options)


if __name__ == "__main__":
    click.Command(None, callback=to_sqlite, params=migrate.params, help=to_sqlite.__doc__).main()
