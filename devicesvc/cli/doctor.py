"""devicesvc doctor"""

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from devicesvc.cli.common import listening_fault, store_argument
from devicesvc.config import setting
from devicesvc.dao.urls import parse
from devicesvc.errors import StoreUnavailable

if TYPE_CHECKING:
    from devicesvc.doctor import Check

ANSWER_SECONDS = 3.0  # that what listens on the port may take to say what it is


@click.command(context_settings={"show_default": True})
@store_argument
@click.option("--host", default="0.0.0.0", help="The address that serve would listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, help="The port that serve would listen on.")
def doctor(store: str, host: str, port: int) -> None:
    """Say what keeps a service on STORE from working.

    It says what may keep it from starting, or from keeping changes. Each line is a check: ok, or FAIL with what is
    wrong and what to do. Nothing is changed. The exit code is 1 if a check fails. Run it as the user that runs the
    service, with the same settings.
    """
    failed = count = 0
    for check in _checks(store, host, port):
        count += 1
        failed += not check.is_ok
        click.echo(f"{'ok' if check.is_ok else 'FAIL':4}  {check.name:9}  {' '.join(check.sentence.splitlines())}")
    if failed:
        raise click.ClickException(f"{failed} of {count} checks failed.")


def _checks(store: str, host: str, port: int) -> Iterator["Check"]:
    from devicesvc import doctor as checks  # not at the top: the service does not need it

    yield checks.python()
    yield checks.time_zone(os.environ.get("TZ"))
    yield checks.tokens(setting("TOKENS_FILE"))
    if not (fault := listening_fault(host, port)):
        yield checks.ok("port", f"{port} is free.")
    elif os.strerror(errno.EADDRINUSE) in fault and _is_devicesvc(host, port):
        yield checks.ok("port", f"devicesvc answers on port {port} already.")
    else:
        yield checks.fail("port", fault)
    try:
        url = parse(store)
        yield checks.ok("store", url.redacted)
    except StoreUnavailable as error:
        yield checks.fail("store", str(error))
    else:
        yield from checks.store_checks(url)


def _is_devicesvc(host: str, port: int) -> bool:
    """Whether what listens there answers as devicesvc does."""
    from devicesvc.client import ApiError, Client  # not at the top: the service does not need it

    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with Client(address, timeout=ANSWER_SECONDS) as client:
            return client.call("GET", "/healthz").get("message") == "alive"
    except ApiError:
        return False
