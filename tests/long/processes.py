"""Processes to harm, and the tools to harm them with."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import Service
from tests.long.broken import WORKER_READY


def need(there: object, what: str) -> None:
    """Skip the test if something that it needs is missing; in CI, fail: there nothing may be missing."""
    if not there:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"needs {what}")


class Victim(Service):
    """A service, leader of a process group of its own."""

    @property
    def workers(self) -> list[str]:
        """The process ids of gunicorn's workers."""
        return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    def wait_for_workers(self, count: int) -> None:
        """Return once so many workers take requests."""
        end = time.monotonic() + 60
        while sum(WORKER_READY in line for line in self.lines) < count:
            assert time.monotonic() < end, "".join(self.lines)
            threading.Event().wait(0.005)

    def kill(self) -> None:
        """Kill master and workers, and return once none of them is there any more. Killing twice is no error."""
        if self._output.closed:
            return  # the number of the group may be another's by now
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        self._reader.join()  # it ends when the last process that can write to the pipe has ended
        self._output.close()

    @contextmanager
    def tampered(self, *options: str) -> Iterator[None]:
        """Have strace interfere with the workers' system calls."""
        need(shutil.which("strace"), "strace")
        workers = [f"--attach={pid}" for pid in self.workers]
        command = ["strace", "-f", *workers, "-o", os.devnull, *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr
            try:
                for _ in workers:
                    words = tracer.stderr.readline()
                    need("attached" in words, f"leave to trace the service: {words}")
                yield
            finally:
                tracer.terminate()
                tracer.communicate()
