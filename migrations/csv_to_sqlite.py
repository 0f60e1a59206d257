"""From CSV files to an SQLite database: python migrations/csv_to_sqlite.py device.csv device.db

The same as  devicesvc migrate device.csv sqlite:///device.db  and with the same options.
"""

import sys

try:
    from sqlalchemy import URL

    from devicesvc.cli import main
except ModuleNotFoundError as error:
    sys.exit(f"This Python does not have {error.name}: use .venv/bin/python, made by make run, or pip install . first.")

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        sys.exit("Usage: python migrations/csv_to_sqlite.py device.csv device.db [--replace] [--skip-bad rejected.csv]")
    source, target, *options = sys.argv[1:]
    main(["migrate", source, URL.create("sqlite", database=target).render_as_string(), *options])
