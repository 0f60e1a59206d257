"""Runs commands on a terminal of their own."""

import os
import pty
import subprocess

from tests.conftest import BIN


def on_terminal(arguments, typed="", **env):
    """What a terminal gets while the command devicesvc runs there, and a person types this text, and then Ctrl-D."""
    master, terminal = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | env
    with subprocess.Popen(
        [str(BIN / "devicesvc"), *arguments], stdin=terminal, stdout=terminal, stderr=terminal, env=environment
    ):
        os.close(terminal)
        os.write(master, f"{typed}\x04".encode())
        shown = b""
        try:
            while piece := os.read(master, 65_536):
                shown += piece
        except OSError:  # Linux says so that nobody has the other end any more
            pass
    os.close(master)
    return shown.decode().replace("\r\n", "\n")
