"""devicesvc serve"""

import logging.config
import multiprocessing
import os
import signal
import sys

import click

from devicesvc.cli.common import listening_fault, one_sentence, store_argument
from devicesvc.cli.db import upgrade
from devicesvc.config import THREADS, WORKERS
from devicesvc.dao.urls import StoreUrl, parse
from devicesvc.errors import RegistryError

log = logging.getLogger(__name__)


@click.command(context_settings={"show_default": True})
@store_argument
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
    """Serve the registry in STORE, until Ctrl-C.

    STORE is the path of a CSV file, sqlite:///PATH, postgresql+psycopg://..., or mysql+pymysql://... for MariaDB and
    MySQL. Without STORE: the value of DEVICESVC_STORE in the environment, or ./device.csv. If the file does not exist,
    it is made with five sample devices. An SQLite file of an older version is upgraded.
    """
    os.environ["WEB_CONCURRENCY"] = str(workers)  # gunicorn reads it while it is imported, and a wrong one ends it
    from devicesvc import server

    logging.config.dictConfig(server.logconfig_dict)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if fault := listening_fault(host, port):
        raise click.ClickException(fault)
    # Until gunicorn has its own handler: this may be process 1 of a container, which ignores signals without one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with one_sentence():
        url = parse(store)
    if url.kind.schema_by:
        # In a process of its own: otherwise gunicorn's parent keeps the memory that Alembic takes.
        preparing = multiprocessing.get_context("fork").Process(target=_prepare_tables, args=[url], daemon=True)
        preparing.start()
        preparing.join()
        if preparing.exitcode:
            sys.exit(preparing.exitcode)
    server.Server({"STORE": store}, bind=[address], workers=workers, threads=threads).run()


def _prepare_tables(url: StoreUrl) -> None:
    """Upgrade an SQLite file, and see that any other database is up to date: a fault ends the command before gunicorn
    starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this process
    try:
        if url.kind.upgraded_at_start:
            log.info(upgrade(url.text))
        else:
            url.schema().must_be_current(url.text)
    except RegistryError as error:
        sys.exit(f"Error: {error}")
