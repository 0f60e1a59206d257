"""What a running service lets its keepers see: the metrics of all workers, and the log."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from devicesvc.config import THREADS
from devicesvc.handover import STALE
from devicesvc.sample import DEVICES
from devicesvc.tokens import create
from tests.conftest import BIN
from tests.worker.conftest import children, until


def metrics(service):
    """The samples of /metrics, by name and labels."""
    families = text_string_to_metric_families(requests.get(f"{service.url}/metrics").text)
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def threads(service):
    """How many threads each worker has; those that make answers come last, when it has opened the store."""
    return [len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in children(service.process.pid)]


class TestMetrics:
    def test_they_are_those_of_all_workers(self, start):
        service, changes, end = start("--workers", "3"), 0, time.monotonic() + 60
        while not metrics(service)["devicesvc_reloads_total",]:  # until a second worker commits on what one has written
            assert time.monotonic() < end
            changes += 1
            change = {"id": "4322159209", "name": f"name {changes}"}
            requests.put(f"{service.url}/v1/devices", json=change).raise_for_status()
        found = [metrics(service)["devicesvc_commit_ops_sum",] for _ in range(20)]
        assert found == [changes] * 20  # whichever answers
        counted = text_string_to_metric_families(requests.get(f"{service.url}/metrics").text)
        puts = [
            sample.value
            for family in counted
            for sample in family.samples
            if sample.name == "devicesvc_http_requests_total" and sample.labels["method"] == "PUT"
        ]
        assert puts == [changes]

    def test_a_broken_edit_is_seen_by_each_worker_although_only_reads_come(self, start, tmp_path):
        service = start("--workers", "2")
        # A worker that still opens the store when the file breaks would end the service.
        until(lambda: [each > THREADS for each in threads(service)] == [True] * 2, "both workers serve")
        file = tmp_path / "device.csv"
        good = file.read_bytes()
        assert metrics(service)["devicesvc_writable",] == 1
        file.write_bytes(good + b"broken\n")
        until(lambda: not any(metrics(service)["devicesvc_writable",] for _ in range(10)), "whichever answers")
        assert {requests.get(f"{service.url}/readyz").status_code for _ in range(10)} == {503}
        answers = [requests.get(f"{service.url}/v1/devices") for _ in range(10)]
        assert [(answer.status_code, STALE in answer.headers) for answer in answers] == [(200, True)] * 10
        file.write_bytes(good)
        until(lambda: metrics(service)["devicesvc_writable",], "the file is mended")
        assert STALE not in requests.get(f"{service.url}/v1/devices").headers

    def test_a_worker_that_is_replaced_while_a_file_is_broken_waits_until_it_is_mended(self, start, tmp_path):
        service = start("--workers", "2")
        until(lambda: [each > THREADS for each in threads(service)] == [True] * 2, "both workers serve")
        file = tmp_path / "device.csv"
        good = file.read_bytes()
        file.write_bytes(good + b"broken\n")
        os.kill(children(service.process.pid)[0], signal.SIGKILL)
        words = f"A new worker waits until it can start. Error: {file} breaks a rule: line 7"
        until(lambda: any(words in line for line in service.lines), "the new worker waits")
        answers = [requests.get(f"{service.url}/v1/devices", timeout=10) for _ in range(10)]
        assert [(answer.status_code, STALE in answer.headers) for answer in answers] == [(200, True)] * 10
        file.write_bytes(good)
        until(lambda: [each > THREADS for each in threads(service)] == [True] * 2, "both workers serve again")
        assert requests.delete(f"{service.url}/v1/devices/{DEVICES[0].id}").ok
        assert service.stop() == 0

    def test_a_worker_that_waits_ends_with_the_service(self, start, tmp_path):
        service = start()
        (tmp_path / "device.csv").write_bytes(b"broken\n")
        os.kill(children(service.process.pid)[0], signal.SIGKILL)
        until(lambda: any("A new worker waits" in line for line in service.lines), "the new worker waits")
        assert service.stop() == 0

    def test_their_files_are_gone_when_it_has_stopped(self, start):
        service = start()
        requests.get(f"{service.url}/healthz")
        (worker,) = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
        files = set(re.findall(r"/\S+/devicesvc-metrics-\S+\.db", Path(f"/proc/{worker}/maps").read_text()))
        assert files
        assert all(Path(file).exists() for file in files)
        assert service.stop() == 0
        assert not any(Path(file).parent.exists() for file in files)


def said_of(service, id, count):
    """The lines of the log with the id of a request, without their time, once there are so many."""
    lines = [line.split(" ", 2)[2] for line in list(service.lines) if id in line]
    return lines if len(lines) >= count else None


class TestLog:
    def test_each_line_of_a_request_has_its_id(self, shared_service):
        url = f"{shared_service.url}/v1/devices?ids=4322159209"
        answer = requests.delete(url, headers={"X-Request-ID": "mine"})
        assert answer.headers["X-Request-ID"] == "mine"
        lines = until(lambda: said_of(shared_service, "[mine]", 2), "the request is not logged")
        assert lines[0] == "INFO [mine] - devices deleted: 4322159209\n"
        assert re.fullmatch(
            r'INFO \[mine\] - 127\.0\.0\.1 "DELETE /v1/devices\?ids=4322159209 HTTP/1\.1" 200 67 bytes \d+ ms\n',
            lines[1],
        )
        assert len(lines) == 2

    def test_as_json_each_line_is_an_object_whose_parts_are_fields(self, start):
        service = start(env={"DEVICESVC_LOG_FORMAT": "json"})
        uri = "/v1/devices?ids=4322159209&ids=%E8%AE%BE"
        requests.delete(f"{service.url}{uri}", headers={"X-Request-ID": "mine"})
        service.stop()
        objects = [json.loads(line) for line in service.lines]
        assert all({"time", "level", "logger", "message"} <= each.keys() for each in objects)
        changed, answered = (each for each in objects if each.get("request_id") == "mine")
        assert changed["changes"] == {"devices deleted": ["4322159209"]}
        assert (answered["method"], answered["uri"], answered["status"]) == ("DELETE", uri, 200)
        assert (changed["user"], answered["user"], answered["client"]) == ("-", "-", "127.0.0.1")

    @pytest.fixture
    def called_by(self, start, tmp_path):
        """The lines of a service that two tokens have called, each with the same remembered GET, and then nobody."""

        def called_by(*names, env):
            secrets = [create(tmp_path / "tokens.txt", name, "write") for name in names]
            service = start(env={"DEVICESVC_TOKENS_FILE": "tokens.txt", **env})
            url = f"{service.url}/v1/devices/4322159209"
            for secret in secrets:
                headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": "203.0.113.9"}
                for _ in range(2):
                    requests.get(url, headers=headers).raise_for_status()
                requests.patch(url, json={"name": secret[:8]}, headers=headers).raise_for_status()
            assert requests.get(url).status_code == requests.patch(url, json={"name": "x"}).status_code == 401
            service.stop()
            return [line for line in service.lines if "devices changed" in line or "4322159209 HTTP" in line]

        return called_by

    def test_each_line_of_a_request_says_whose_token_it_was_and_which_client_it_came_from(self, called_by):
        lines = called_by("gateway-7", "课堂", env={})
        pattern = r'INFO \[[0-9a-f]{16}\] (\S+) (?:(\S+) "(\w+)|devices changed: 4322159209)'
        found = [groups for line in lines for groups in re.findall(pattern, line)]
        expected = []
        for name in ("gateway-7", "课堂"):
            expected += [(name, "203.0.113.9", "GET")] * 2 + [(name, "", ""), (name, "203.0.113.9", "PATCH")]
        assert found == [*expected, ("-", "127.0.0.1", "GET"), ("-", "127.0.0.1", "PATCH")]

    def test_as_json_these_are_fields(self, called_by):
        found = [json.loads(line) for line in called_by("gateway-7", env={"DEVICESVC_LOG_FORMAT": "json"})]
        assert [each["user"] for each in found] == ["gateway-7"] * 4 + ["-"] * 2
        assert [each.get("client") for each in found] == [*["203.0.113.9"] * 2, None, "203.0.113.9", *["127.0.0.1"] * 2]

    def test_a_proxy_that_is_not_trusted_is_the_client_itself(self, called_by):
        lines = called_by("a", env={"DEVICESVC_TRUSTED_PROXIES": "10.0.0.0/8"})
        assert not [line for line in lines if "203.0.113.9" in line]
        assert len([line for line in lines if " a 127.0.0.1 " in line]) == 3

    def test_a_name_cannot_make_a_line_look_like_another_one(self, called_by):
        lines = called_by("\u202edab", "-", "x]", env={})
        shown = ["'\\u202edab'"] * 4 + ["'-'"] * 4 + ["x]"] * 4
        assert [line.split("] ", 1)[1].split(" ")[0] for line in lines] == [*shown, "-", "-"]

    @pytest.mark.parametrize(
        ("format", "zone", "moment_of"),
        [
            ("text", timedelta(hours=8), lambda line: line[:29]),
            ("json", timedelta(0), lambda line: json.loads(line)["time"]),
        ],
    )
    def test_each_line_has_its_time_and_the_time_zone(self, start, format, zone, moment_of):
        begin = datetime.now(UTC)
        service = start(env={"DEVICESVC_LOG_FORMAT": format, "TZ": "Asia/Shanghai"})
        requests.delete(f"{service.url}/v1/devices?ids=4322159209")
        service.stop()
        moments = [datetime.fromisoformat(moment_of(line)) for line in service.lines]
        assert {moment.utcoffset() for moment in moments} == {zone}
        assert all(begin - timedelta(seconds=1) < moment < datetime.now(UTC) for moment in moments)

    def test_no_line_is_lost_when_it_stops(self, start):
        service = start()
        client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        for number in range(200):
            client.request("GET", f'/v1/devices?sn="{number}"')
            client.getresponse().read()
        client.close()
        service.stop()
        found = [line for line in service.lines if '"GET /v1/devices?sn=' in line]
        assert len(found) == 200
        assert '"GET /v1/devices?sn=%220%22 HTTP/1.1" 200 ' in found[0]

    def test_what_the_server_refuses_has_a_line_an_id_and_the_shape_of_every_refusal(self, shared_service):
        service = shared_service
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as client:
            client.sendall(b"GET / HTTP/1.1\r\nno colon\r\n\r\n")
            head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
        refusal = json.loads(body)
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"Content-Type: application/problem+json" in head
        assert (refusal["status"], refusal["message"]) == (400, refusal["detail"])
        assert refusal["detail"] == "The request cannot be read: Missing colon in header."
        (id,) = re.findall(rb"X-Request-ID: ([0-9a-f]{16})", head)
        key = ("devicesvc_http_requests_total", "GET", "none", "400")
        assert metrics(service)[key] == 1
        [line] = until(lambda: said_of(service, id.decode(), 1), "the refusal is not logged")
        assert f'[{id.decode()}] - 127.0.0.1 "GET - HTTP/1.1" 400 ' in line

    def test_an_address_that_is_too_long_is_refused_with_what_to_do(self, shared_service):
        with socket.create_connection(("127.0.0.1", shared_service.port), timeout=60) as client:
            client.sendall(b"DELETE /v1/devices?ids=" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 414 ")
        assert json.loads(body)["detail"].endswith("Send the ids in the body, as JSON.")

    @pytest.mark.parametrize("path", ["/docs", "/docs/offapi/redoc.js", "/docs/static/redoc.html", "/openapi.json"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_page_is_logged_with_the_bytes_that_were_sent(self, shared_service, method, path):
        answer = requests.request(method, shared_service.url + path, headers={"If-Match": "*"}, timeout=60)
        assert answer.status_code == 200
        id = f"[{answer.headers['X-Request-ID']}]"
        (line,) = until(lambda: [line for line in shared_service.lines if id in line], "the request is not logged")
        assert f'"{method} {path} HTTP/1.1" 200 {len(answer.content)} ' in line

    @pytest.fixture
    def ended(self, clean_env, tmp_path, free_port):
        """Gives `devicesvc serve`, ended, with these settings. It must have made nothing."""

        def ended(**settings):
            ended = subprocess.run(
                [BIN / "devicesvc", "serve", "--port", str(free_port)],
                env=clean_env | settings,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert not list(tmp_path.iterdir())
            return ended

        return ended

    def test_a_name_of_a_host_that_cannot_be_one_is_refused_in_one_sentence(self, ended):
        refused = ended(DEVICESVC_HOSTS="https://devices.example")
        assert refused.returncode == 4
        assert (refused.stdout + refused.stderr).splitlines()[-1] == (
            "Error: DEVICESVC_HOSTS must be names without port, separated by commas:"
            " 'https://devices.example' is not a name."
        )

    def test_of_many_workers_one_says_why_the_service_does_not_start(self, ended):
        refused = ended(DEVICESVC_HOSTS="https://devices.example", WEB_CONCURRENCY="8")
        assert refused.returncode == 4
        lines = (refused.stdout + refused.stderr).splitlines()
        assert sum(line.startswith("Error: ") for line in lines) == 1

    def test_another_format_is_refused_in_one_sentence(self, ended):
        refused = ended(DEVICESVC_LOG_FORMAT="xml")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == "Error: DEVICESVC_LOG_FORMAT is 'xml': it must be text or json.\n"
