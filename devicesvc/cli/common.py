"""What several commands share."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from devicesvc.config import DEFAULTS
from devicesvc.errors import MAX_TOLD, RegistryError
from devicesvc.terminal import plain

store_argument: Callable[[Any], Any] = click.argument("store", envvar="DEVICESVC_STORE", default=DEFAULTS["STORE"])


@contextmanager
def one_sentence() -> Iterator[None]:
    """Show a RegistryError as its sentence, not as a traceback."""
    try:
        yield
    except RegistryError as error:
        # A sentence names the first MAX_TOLD of many faults: then all that are known follow it.
        rest = [f"{place} {rule}" for place, rule in error.errors.items()] if len(error.errors) > MAX_TOLD else []
        raise click.ClickException("\n".join(map(plain, [str(error), *rest]))) from error


def listening_fault(host: str, port: int) -> str | None:
    """Why the service cannot listen there, and what to do; None if it can."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does, right after a restart
            probe.bind((host, port))
    except (OSError, TypeError, UnicodeError) as error:  # TypeError: "encoding of hostname failed"
        reason = error.strerror if isinstance(error, OSError) else "this is not the name of a host"
        advice = "Choose another with --port or --host."
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            other = port + 1 if port < 65535 else port - 1
            advice = f"Choose another port: make run PORT={other}, or devicesvc serve --port {other}."
        return f"Cannot listen on {host}, port {port}: {reason}. {advice}"
    return None
