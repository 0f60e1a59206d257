"""Requests a second, by wrk, and what they cost the server."""

import random
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import Request
from benchmarks.services import Service

# Takes one id after another.
SCRIPT = """
local ids, number, run = {}, 0, 0
function init(arguments)
  method, path, body, number = arguments[2], arguments[3], arguments[4], tonumber(arguments[5])
  for id in io.lines(arguments[1]) do ids[#ids + 1] = id end
  if body ~= "" then wrk.headers["Content-Type"] = "application/json" end
end
function request()
  number = number + 1
  local id = ids[number % #ids + 1]
  local text = body ~= "" and body:gsub("{id}", id):gsub("{n}", number) or nil
  return wrk.format(method, (path:gsub("{id}", id)), nil, text)
end
"""


class Load(NamedTuple):
    """rate: requests a second. cpu: processor time of the server for each request, in µs."""

    rate: float
    cpu: float


def load(service: Service, request: Request, ids: Path, clients: int, seconds: int, keep_alive: bool = True) -> Load:
    """Send requests as fast as they are answered. ids: a file with the ids to take.

    Raises RuntimeError if one fails or is answered with an error.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT)
        script.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", script.name]
        command += [] if keep_alive else ["-H", "Connection: close"]
        command += [service.url, "--", str(ids), request.method, request.path, request.body]
        before = service.cpu()
        output = subprocess.run(
            [*command, str(random.randrange(10**9))], capture_output=True, text=True, check=True
        ).stdout
        used = service.cpu() - before
    found = re.search(r"(\d+) requests in ", output)
    rate = re.search(r"Requests/sec: +([0-9.]+)", output)
    if not found or not rate or found[1] == "0" or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{service.name} did not answer each {request.method} {request.path}:\n{output}")
    return Load(float(rate[1]), used / int(found[1]) * 1e6)
