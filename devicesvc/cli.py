"""The command line: devicesvc serve, devicesvc check, devicesvc token."""

import logging.config
import multiprocessing
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask import Flask
from gunicorn.app.base import BaseApplication

from devicesvc import server, tokens
from devicesvc.config import DEFAULTS
from devicesvc.dao import check_store, open_store
from devicesvc.errors import RegistryError
from devicesvc.sample import DEVICES


@click.group()
@click.version_option(package_name="devicesvc")
def main() -> None:
    """A registry of devices behind a REST API, its data in a CSV file that a person can read."""


@main.command(context_settings={"show_default": True})
@click.argument("store", envvar="DEVICESVC_STORE", default=DEFAULTS["STORE"])
@click.option("--host", default="0.0.0.0", help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, help="The port to listen on.")
@click.option("--workers", type=click.IntRange(1, 64), default=server.workers, help="How many processes.")
@click.option("--threads", type=click.IntRange(1, 512), default=server.threads, help="How many threads in each.")
def serve(store: str, host: str, port: int, workers: int, threads: int) -> None:
    """Serve the registry in STORE, the path of a CSV file.

    Without STORE: the environment's DEVICESVC_STORE, or ./device.csv. A file that is missing is made, with five sample
    devices. Stop with Ctrl-C.
    """
    logging.config.dictConfig(server.logconfig_dict)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    _check_free(host, port)
    # In a process of its own, so that gunicorn's parent does not keep the memory that a large file takes.
    opening = multiprocessing.get_context("fork").Process(target=_open_once, args=[store])
    opening.start()
    opening.join()
    if opening.exitcode:
        sys.exit(opening.exitcode)
    _Server({"STORE": store}, bind=[address], workers=workers, threads=threads).run()


@main.command()
@click.argument("store", envvar="DEVICESVC_STORE", default=DEFAULTS["STORE"])
def check(store: str) -> None:
    """Name every fault in STORE by line and column, and end with 1 if there is one. Nothing is changed."""
    with _one_sentence():
        faults = check_store(store)
    for fault in faults:
        click.echo(fault)
    if faults:
        raise click.ClickException(f"Faults in {store}: {len(faults)}.")
    click.echo(f"{store} is in order.")


@main.group()
def token() -> None:
    """Tokens, for a service that not everybody may call."""


@token.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(tokens.SCOPES), required=True, help="write includes read.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="DEVICESVC_TOKENS_FILE",
    required=True,
    help="The tokens file; DEVICESVC_TOKENS_FILE, where that is set.",
)
def create_token(name: str, scope: str, file: Path) -> None:
    """Add a token called NAME to the tokens file, and print it: the file keeps only its hash."""
    with _one_sentence():
        secret = tokens.create(file, name, scope)
    click.echo(secret)
    click.echo(f"Keep it: it is not shown again. Send it as  Authorization: Bearer {secret}", err=True)


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn, with the settings of server.py."""

    def __init__(self, config: dict[str, Any], **settings: Any) -> None:
        self._config = config
        self._settings = {**vars(server), **settings}
        super().__init__()

    def load_config(self) -> None:
        for name in self._settings.keys() & self.cfg.settings.keys():
            self.cfg.set(name, self._settings[name])

    def load(self) -> Flask:
        return server.load(self._config)


def _open_once(store: str) -> None:
    """Make the store where it is missing, and see that it can be opened; else end the process with one sentence."""
    try:
        open_store(store, DEVICES).close()
    except RegistryError as error:
        sys.exit(f"Error: {error}")


def _check_free(host: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does, right after a restart
            probe.bind((host, port))
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}, port {port}: {error.strerror}. Choose another with --port or --host."
        ) from error


@contextmanager
def _one_sentence() -> Iterator[None]:
    """End with the sentence of a refusal, not with a traceback."""
    try:
        yield
    except RegistryError as error:
        raise click.ClickException(str(error)) from error
