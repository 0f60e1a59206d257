"""Seconds from `make run` to the first answer, in a fresh clone and again there: python benchmarks/first_answer.py"""

import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
PORT = 18_243


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        for state in ("an empty environment", "a ready environment"):
            print(f"{state}: {seconds_to_first_answer(folder):.1f} s")


def seconds_to_first_answer(folder: str) -> float:
    begin = time.monotonic()
    command = ["make", "run", f"PORT={PORT}"]
    run = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)
    try:
        while run.poll() is None:
            if answers():
                return time.monotonic() - begin
            time.sleep(0.02)
        raise SystemExit("make run ended")
    finally:
        subprocess.run(["kill", f"-{signal.SIGINT}", "--", f"-{run.pid}"], check=False)
        run.wait()
        while answers():  # the service ends a little after make
            time.sleep(0.02)


def answers() -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v1/devices/4322159209").read())
    except OSError:
        return False


if __name__ == "__main__":
    main()
