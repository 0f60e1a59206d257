"""A program that answers HTTP, in processes of its own: it is started, measured and stopped."""

import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

TICKS = os.sysconf("SC_CLK_TCK")
START = 120  # seconds that a program may take to its first answer
END = 10  # seconds that it may take to end


class Service:
    """Runs a program as long as the `with` block runs.

    command: gives the arguments for a port. ready: the path that is asked until it answers 200. folder: where it runs.
    Raises RuntimeError if the program ends, or does not answer in time.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], Sequence[str | Path]],
        ready: str,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.port = name, find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command, self._ready, self._folder = command(self.port), ready, folder
        self._environment = {**os.environ, **(environment or {})}

    def __enter__(self) -> Self:
        begin = time.perf_counter()
        # In a session of its own: Ctrl-C reaches only the benchmark, which stops the program.
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait_for_answer()
        except BaseException:
            self.stop()
            raise
        self.seconds_to_start = time.perf_counter() - begin
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_for_answer(self) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with exit code {self._process.returncode}.")
            with suppress(requests.RequestException):
                if requests.get(self.url + self._ready, timeout=START).status_code == 200:
                    return
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} did not answer in {START} s.")

    def terminate(self) -> None:
        """Ask it to end, as `docker stop` does."""
        self._process.terminate()

    def stop(self) -> None:
        """End it, by force if it takes longer than END, and with it all that it started."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def cpu(self) -> float:
        """The processor time of all its processes so far, in seconds."""
        ticks = 0
        for process in self._processes():
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # its own, and that of its children that ended
        return ticks / TICKS

    def memory(self) -> float:
        """The memory of all its processes, in MB of 10^6 bytes. Pages that they share count once."""
        kilobytes = 0
        for process in self._processes():
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return kilobytes * 1024 / 1e6

    def peak_memory(self) -> float:
        """The most memory that its processes have had, in MB. Pages that they share count for each."""
        return sum(map(most_memory, self._processes()))

    def _processes(self) -> Iterator[int]:
        found = [self._process.pid]
        for process in found:
            for children in Path(f"/proc/{process}/task").glob("*/children"):
                found += map(int, children.read_text().split())
            yield process


def most_memory(process: int) -> float:
    """The most memory that a process had, in MB; 0 if it has ended.

    resource.getrusage would count the memory of the process that started it, too.
    """
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def find_free_port() -> int:
    """A port nobody listens on, below the range from which the system takes ports for outgoing connections."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
