"""How a file is opened that may be anything by now: only a regular file is taken, and nobody waits for it."""

import errno
import os
import stat
from pathlib import Path


def open_regular(path: str | Path, flags: int) -> int:
    """Open a regular file and return its descriptor: the `opener` of `open`. If it is made, only its owner may use it.

    To open a FIFO in the usual way waits until somebody writes to it, perhaps for ever. Raises OSError, also for a
    FIFO, a socket or a device; its strerror says so.
    """
    try:
        handle = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a FIFO that nobody reads
            raise _refusal(path) from error
        raise
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise _refusal(path)


def _refusal(path: str | Path) -> OSError:
    return OSError(errno.EINVAL, "It is not a regular file", str(path))
