"""A pause of Python's garbage collector, for work that makes a million objects and no garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 100_000  # objects


@contextmanager
def paused() -> Iterator[None]:
    """Collect no garbage meanwhile: to look for some took half the time of reading a large file.

    If many objects were made, they are never looked at: that would stop all threads for a second.
    """
    was_on = gc.isenabled()
    gc.collect(1)  # otherwise `freeze` keeps the garbage of now for ever
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > MANY:
            gc.freeze()
        if was_on:
            gc.enable()
