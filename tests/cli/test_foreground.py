"""`devicesvc serve` in a terminal of its own, and without one: what it shows, and what ends it."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from devicesvc.migrations import upgrade
from sqlalchemy import make_url

from tests.conftest import BIN
from tests.worker.conftest import children, until

ESCAPE = "\x1b["


class Terminal:
    """A terminal, and a command that it belongs to."""

    def __init__(self, command, folder, env):
        self._handle, other_end = pty.openpty()
        self._is_open = True
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], cwd=folder, env=env, stdin=other_end, stdout=other_end, stderr=other_end
        )
        os.close(other_end)
        self.text = ""

    def wait_for(self, words):
        """Read until it shows these words."""
        end = time.monotonic() + 20
        while words not in self.text:
            readable, _, _ = select.select([self._handle], [], [], max(0, end - time.monotonic()))
            assert readable, self.text
            self.text += os.read(self._handle, 65_536).decode()

    def close(self):
        """Close it, as somebody closes the window."""
        if self._is_open:
            os.close(self._handle)
            self._is_open = False

    def end(self):
        """Kill what is left."""
        self.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def url(free_port):
    return f"http://127.0.0.1:{free_port}"


@pytest.fixture
def terminal(tmp_path, clean_env, free_port):
    """Gives a terminal in which `devicesvc serve` runs, after the words of `before`."""
    terminals = []
    env = {name: value for name, value in clean_env.items() if name != "NO_COLOR"} | {"TERM": "xterm"}

    def terminal(*before, **settings):
        serve = [str(BIN / "devicesvc"), "serve", "--host", "127.0.0.1", "--port", str(free_port)]
        terminals.append(Terminal([*before, *serve], tmp_path, env | settings))
        return terminals[-1]

    yield terminal
    for each in terminals:
        each.end()


class TestItShows:
    def test_four_lines_for_a_person_after_the_log_in_colour(self, terminal, url, tmp_path):
        shown = terminal()
        shown.wait_for("device.csv\r\n\r\n")
        assert ESCAPE in shown.text
        log, _, lines = re.sub(r"\x1b\[\d+m", "", shown.text).partition("\r\n\r\n")
        assert "can be tried at" not in log
        assert [re.split("  +", line.strip()) for line in lines.splitlines() if line] == [
            ["Address", url],
            ["Console", f"{url}/console"],
            ["Documentation", f"{url}/docs and, to try the calls, /docs/swagger"],
            ["Data", str(tmp_path / "device.csv")],
        ]

    @pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_no_colour_to_those_who_want_none(self, terminal, setting):
        shown = terminal(**setting)
        shown.wait_for("Data")
        assert ESCAPE not in shown.text

    def test_only_objects_if_the_log_is_json(self, terminal, url):
        shown = terminal(DEVICESVC_LOG_FORMAT="json")
        shown.wait_for("can be tried at")
        shown.wait_for("}\r\n")
        messages = [json.loads(line)["message"] for line in shown.text.splitlines() if line.endswith("}")]
        assert messages[-1] == f"The API is described at {url}/docs and can be tried at {url}/docs/swagger"
        assert len(messages) == len(shown.text.splitlines())

    def test_a_database_without_its_password(self, terminal, postgres_url):
        upgrade(postgres_url)
        url = make_url(postgres_url).set(username="postgres", password="secret")
        shown = terminal(DEVICESVC_STORE=url.render_as_string(hide_password=False))
        shown.wait_for("Data")
        shown.wait_for("\r\n\r\n")
        assert f"{url.drivername}://postgres:***@" in shown.text
        assert "secret" not in shown.text


class TestClosingIt:
    def test_ends_the_service_and_its_workers_after_what_they_are_answering(self, terminal, free_port, url):
        shown = terminal()
        shown.wait_for("Data")
        (worker,) = children(shown.process.pid)
        with socket.create_connection(("127.0.0.1", free_port), timeout=20) as client:
            client.sendall(b"DELETE /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 23\r\n\r\n" + b'{"ids": ["4322')
            assert requests.get(f"{url}/healthz").status_code == 200  # so the request above has been taken up
            shown.close()
            until(lambda: not listens(free_port), "it still listens")
            client.sendall(b'159209"]}')
            answer = client.makefile("rb").read()
        assert b'"ids":["4322159209"]' in answer
        shown.process.wait(20)
        assert not Path(f"/proc/{worker}").exists()

    def test_leaves_a_service_alone_that_nohup_has_started(self, terminal, url, tmp_path):
        shown = terminal("/usr/bin/nohup")
        until(lambda: "can be tried at" in nohup_out(tmp_path), "it does not serve")
        workers = children(shown.process.pid)
        shown.close()
        shown.process.send_signal(signal.SIGHUP)
        os.kill(workers[0], signal.SIGHUP)
        assert requests.get(f"{url}/v1/devices/4322159209").status_code == 200
        assert children(shown.process.pid) == workers
        shown.process.terminate()
        shown.process.wait(20)
        assert "Handling signal: hup" not in nohup_out(tmp_path)


def test_without_a_terminal_sighup_starts_new_workers(start):
    service = start(start_new_session=True)
    workers = children(service.process.pid)
    service.process.send_signal(signal.SIGHUP)
    until(lambda: children(service.process.pid) not in (workers, []), "there is no new worker")
    until(lambda: len(children(service.process.pid)) == 1, "the old worker is still there")
    assert requests.get(f"{service.url}/healthz").status_code == 200
    assert service.stop() == 0


def nohup_out(folder):
    with suppress(FileNotFoundError):
        return (folder / "nohup.out").read_text("utf-8")
    return ""


def listens(port):
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))
