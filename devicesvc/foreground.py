"""The terminal that the service was started in, if there is one: what it shows, and what happens if it is closed."""

import os
import signal
import sys
from collections.abc import Mapping

from devicesvc.terminal import coloured

_IS_IGNORED = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # gunicorn overwrites it later


def show(lines: Mapping[str, str]) -> None:
    """Write names and values to stdout, a line for each, between two empty lines."""
    width = max(map(len, lines))
    named = [f"  {coloured(name.ljust(width), 'green', sys.stdout)}  {line}\n" for name, line in lines.items()]
    print(f"\n{''.join(named)}", flush=True)


def is_shown() -> bool:
    """Whether somebody sees what is written to stdout: it is a terminal."""
    return sys.stdout.isatty()


def end_when_closed() -> None:
    """Let SIGHUP, which the system sends when the terminal of this process is closed, end it as SIGTERM does.

    If it was ignored when the process began, as by nohup, it is ignored. Without a terminal, as under a service
    manager, it keeps the meaning that it has.
    """
    if _IS_IGNORED:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    elif _has_one():
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))


def _has_one() -> bool:
    """Whether this process has a controlling terminal: stdin and stdout may be files all the same."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
