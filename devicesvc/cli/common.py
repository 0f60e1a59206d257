"""What several commands share."""

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
