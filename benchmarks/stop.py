"""What stops a benchmark: Ctrl-C, SIGTERM, and the end of its terminal."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the signals end the block: all programs that it has started are ended first, and one sentence says so.

    A signal that was ignored before, as nohup does, is ignored.
    """
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _stop)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit("\nStopped: all programs have ended, and nothing was written.")


def _stop(*_: Any) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not leave a program running
    raise KeyboardInterrupt
