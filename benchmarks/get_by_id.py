"""GET of one device, compared with a bare Flask route under the same gunicorn settings: python benchmarks/get_by_id.py

Needs wrk (Debian's package of that name). Prints requests a second: the median of the rounds and their extremes. The
two take turns, so that a busy moment of the machine hits both.
"""

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
ROUNDS, SECONDS, CONNECTIONS = 7, 3, 16
PORTS = {"devicesvc": 18_241, "a bare Flask route": 18_242}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = ["--config", ROOT / "gunicorn.conf.py"]
        commands = {
            "devicesvc": [BIN / "devicesvc", "serve", f"{folder}/device.csv", "--port", str(PORTS["devicesvc"])],
            "a bare Flask route": [
                *(BIN / "gunicorn", "benchmarks.bare:app", *config),
                *("--bind", f"0.0.0.0:{PORTS['a bare Flask route']}"),
            ],
        }
        services = [
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) for name, command in commands.items()
        ]
        try:
            rates: dict[str, list[float]] = {name: [] for name in commands}
            for number in range(ROUNDS + 1):
                for name in commands:
                    rate = measure(PORTS[name])
                    if number:  # the first round warms up
                        rates[name].append(rate)
        finally:
            for service in services:
                service.terminate()
                service.wait()
    for name, found in rates.items():
        print(f"{name:20} {statistics.median(found):6.0f} requests/s ({min(found):.0f} to {max(found):.0f})")
    ratios = [ours / bare for ours, bare in zip(*rates.values(), strict=True)]
    print(f"{'ratio':20} {statistics.median(ratios):6.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def measure(port: int) -> float:
    """Requests a second. Retries until the service answers; a failed request stops the run."""
    url = f"http://127.0.0.1:{port}/v1/devices/4322159209"
    subprocess.run(["curl", "-sfo", "/dev/null", "--retry", "9", "--retry-connrefused", url], check=True)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in words or "Socket errors" in words:
        sys.exit(words)
    return float(re.search(r"Requests/sec: +([0-9.]+)", words)[1])


if __name__ == "__main__":
    main()
