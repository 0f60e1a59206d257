"""What several commands share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from devicesvc.config import DEFAULTS
from devicesvc.errors import RegistryError

store_argument: Callable[[Any], Any] = click.argument("store", envvar="DEVICESVC_STORE", default=DEFAULTS["STORE"])


@contextmanager
def one_sentence() -> Iterator[None]:
    """Show a RegistryError as its sentence, not as a traceback."""
    try:
        yield
    except RegistryError as error:
        raise click.ClickException(str(error)) from error
