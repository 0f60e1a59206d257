"""`devicesvc tour`: it says ok if a service is right, and what differs if it is not."""

import json
import os
import signal
import subprocess
import threading
from contextlib import contextmanager
from typing import Any, ClassVar

import orjson
import pytest
import requests
from click.testing import CliRunner
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from devicesvc import tokens
from devicesvc.cli import main
from devicesvc.dao.urls import open_store
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from devicesvc.tour import DELETED
from tests.conftest import BIN, find_free_port


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    monkeypatch.delenv("DEVICESVC_TOKEN", raising=False)


def tour(*arguments, **env):
    before = signal.getsignal(signal.SIGTERM)
    try:
        return CliRunner().invoke(main, ["tour", *arguments], env=env)
    finally:
        signal.signal(signal.SIGTERM, before)


def content(store):
    """All that a store holds."""
    groups = store.groups.list()
    return store.devices.list(), groups, [store.memberships.list(group_id=group.id) for group in groups]


def add_groups(store):
    """Put the doomed devices into groups."""
    groups = Group("a", "屋顶"), Group("b", '"B", really')
    members = [Membership(id, group.id) for id in DELETED for group in groups][1:]
    store.write(lambda tx: ([tx.groups.add(group) for group in groups], tx.memberships.add(members)))


@pytest.fixture
def registry(tmp_path):
    """The samples, the doomed of which are in groups."""
    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        add_groups(store)
        yield store


@contextmanager
def served(app):
    """The URL at which a WSGI app answers."""
    server = make_server("127.0.0.1", find_free_port(), app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def spoiled(registry, app_over):
    """Serves the registry by a service that is right but for a function, which is given each request and its answer and
    may change that or return another."""

    @contextmanager
    def spoiled(spoil):
        app = app_over(registry)

        def answer(environ, start_response):
            request = Request(environ)
            right = app.test_client().open(
                request.path,
                method=request.method,
                query_string=environ["QUERY_STRING"],
                headers=list(request.headers),
                data=request.get_data(),
            )
            response = Response(right.data, right.status_code, list(right.headers))
            return (spoil(request, response) or response)(environ, start_response)

        with served(answer) as url:
            yield url

    return spoiled


def device_json(device):
    return orjson.loads(orjson.dumps(device))


def change(response, **members):
    response.data = json.dumps({**response.json, **members})


class TestOk:
    def test_it_leaves_every_store_as_it_was(self, store, app):
        add_groups(store)
        before = content(store)
        with served(app) as url:
            ended = tour(f"{url}/")
        assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
        assert content(store) == before
        output = ended.stdout
        assert f"\n>>> requests.get('{url}/v1/devices', json={{'id': '5661391086'}})\n200 {{" in output
        assert '"ids":["3635138853","5394030919"]' in output
        assert '"name":"new-name"' in output
        assert output.splitlines()[-1] == f"ok: {output.count('>>> ')} calls, all answered as they should."

    def test_it_deletes_nothing_that_is_not_there(self, start):
        url = f"{start().url}/v1/devices"
        requests.delete(url, json={"ids": [device.id for device in DEVICES]})
        ended = tour(url.removesuffix("/v1/devices"))
        assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
        assert requests.get(url).json()["data"] == []

    def test_several_workers_agree(self, start):
        ended = tour(start("--workers", "3").url)
        assert (ended.exit_code, ended.stderr) == (0, ""), ended.output


class TestTokens:
    @pytest.fixture
    def secrets(self, tmp_path):
        return {scope: tokens.create(tmp_path / "tokens.txt", scope, scope) for scope in tokens.SCOPES}

    @pytest.fixture
    def url(self, secrets, start):  # noqa: ARG002 - it makes the tokens in the file
        return start(env={"DEVICESVC_TOKENS_FILE": "tokens.txt"}).url

    def test_one_that_may_write_is_sent_and_never_shown(self, url, secrets):
        for ended in (tour(url, "--token", secrets["write"]), tour(url, DEVICESVC_TOKEN=secrets["write"])):
            assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
            assert secrets["write"] not in ended.stdout

    def test_without_a_token_or_with_a_read_token_it_is_refused_in_one_sentence(self, url, secrets):
        for arguments in ([], ["--token", secrets["read"]]):
            ended = tour(url, *arguments)
            assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
            assert ended.stderr.endswith("The tour needs a token that may write: give it with --token.\n")


class TestNoTour:
    def test_nobody(self, free_port):
        ended = tour(f"http://127.0.0.1:{free_port}")
        assert ended.exit_code == 1
        assert ended.stderr == f"Error: Nobody answers at http://127.0.0.1:{free_port}: Connection refused.\n"

    @pytest.mark.parametrize("url", ["localhost:8000", "nonsense", "http://", "http://a..b", "http://nowhere.invalid"])
    def test_no_address(self, url):
        ended = tour(url)
        assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1), ended.output
        assert ended.stderr.startswith(f"Error: Nobody answers at {url.rstrip('/')}: ")

    @pytest.mark.parametrize("status", [200, 401, 502])
    def test_something_else(self, status):
        with served(Response("<p>Hello", status, mimetype="text/html")) as url:
            ended = tour(url)
        assert ended.exit_code == 1
        words = f"What answers at {url} is not devicesvc: {status}, text/html; charset=utf-8."
        assert ended.stderr == f"Error: {words}\n"


def post_answers_200(request, response):
    if response.status_code == 201 and request.method == "POST":
        response.status_code = 200


def no_location(_request, response):
    response.headers.pop("Location", None)


def one_too_many(request, response):
    if request.method == "GET" and '"id": "tour-' in request.get_data(as_text=True):
        change(response, data=[{"id": "other"}])


def a_page(_request, response):
    if response.status_code == 404:
        return Response("<p>Not here", 404, mimetype="text/html")
    return None


def ids_that_were_not_there(request, response):
    if request.method == "DELETE" and "1234567890 " in request.get_data(as_text=True):
        change(response, ids=[*DELETED, "1234567890 "])


def no_place(_request, response):
    if response.status_code == 422:
        change(response, errors={})


def items_without_members(request, response):
    if request.method == "GET" and b"itOYJ" in request.data:
        change(response, data=[1])


def body_of_get_is_dropped(request, response):
    if request.method == "GET" and request.data:
        change(response, data=[device_json(device) for device in DEVICES])


def filter_finds_too_many(request, response):
    if request.args.get("sn", "").startswith("tour-"):
        change(response, data=[*response.json["data"], device_json(DEVICES[0])])


def half_is_lost(request, response):
    if request.method == "PATCH":
        device = response.json["data"]
        change(response, data={**device, "hardware": {"model": "other-model", "sn": ""}})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (post_answers_200, "the status should be 201, not 200."),
        (no_location, "the header Location should be '/v1/devices/"),
        (one_too_many, "'data' should be [], not [{'id': 'other'}]."),
        (a_page, "the Content-Type should be 'application/problem+json', not 'text/html; charset=utf-8'."),
        (
            ids_that_were_not_there,
            "'ids' should be ['3635138853', '5394030919'], not ['3635138853', '5394030919', '123",
        ),
        (no_place, "what 'errors' names should be ['nic.0.mac'], not []."),
        (items_without_members, "its items do not have the fields that they should have"),
        (body_of_get_is_dropped, "its ids should be ['5661391086'] or [], not ['4322159209', "),
        (filter_finds_too_many, "'data' should be [{'id': "),
        (half_is_lost, "'data' should be {'id': "),
    ],
)
def test_it_names_what_differs_and_leaves_all_as_it_was(spoiled, registry, spoil, words):
    before = content(registry)
    with spoiled(spoil) as url:
        ended = tour(url)
    assert ended.exit_code == 1
    assert any(words in line for line in ended.stderr.splitlines()), ended.stderr
    assert "Traceback" not in ended.output
    assert "ok:" not in ended.stdout
    assert content(registry) == before


def test_it_finds_a_change_that_is_forgotten(spoiled, registry):
    def forget(request, response):
        if request.method == "PUT" and request.path == "/v1/devices" and response.status_code == 200:
            registry.write(lambda tx: tx.devices.update(response.json["data"]["id"], {"name": "test-name"}))

    with spoiled(forget) as url:
        ended = tour(url)
    assert ended.exit_code == 1
    assert "'data' should be {'id': " in ended.stderr


def test_a_device_that_came_after_it_looked_is_left_alone(spoiled, registry):
    registry.write(lambda tx: tx.devices.remove([DELETED[1]]))

    def come(request, response):
        if request.path == f"/v1/devices/{DELETED[1]}" and response.status_code == 404:
            registry.write(lambda tx: tx.devices.put(DEVICES[3]))

    assert DEVICES[3].id == DELETED[1]
    with spoiled(come) as url:
        tour(url)
    assert registry.devices.find(DELETED[1]) == DEVICES[3]


def test_it_puts_back_when_a_service_that_was_away_is_there_again(spoiled, registry, monkeypatch):
    monkeypatch.setattr("devicesvc.tour.PAUSES", (0, 0))
    before, away = content(registry), iter([True, True])

    def be_away(request, _response):
        if request.method == "PUT" and request.path == f"/v1/devices/{DELETED[0]}" and next(away, False):
            registry.write(lambda tx: tx.devices.remove([DELETED[0]]))
            return Response("<p>", 502, mimetype="text/html")
        return None

    with spoiled(be_away) as url:
        ended = tour(url)
    assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
    assert content(registry) == before


def test_it_says_what_is_left_to_do_if_something_cannot_be_put_back(spoiled, registry, monkeypatch):
    monkeypatch.setattr("devicesvc.tour.PAUSES", ())

    def fail(request, _response):
        if request.method == "PUT" and request.path == f"/v1/devices/{DELETED[0]}":
            registry.write(lambda tx: tx.devices.remove([DELETED[0]]))
            return Response("<p>", 502, mimetype="text/html")
        return None

    with spoiled(fail) as url:
        ended = tour(url)
    assert ended.exit_code == 1
    (advice,) = (line for line in ended.stderr.splitlines() if f"requests.put('{url}/v1/devices/{DELETED[0]}'" in line)
    assert "This is left to do: " in advice
    exec(advice.partition("This is left to do: ")[2].replace(url, "http://127.0.0.1:1"), {"requests": Recorder})
    name, kept = Recorder.called["name"], next(device for device in DEVICES if device.id == DELETED[0])
    assert name == kept.name


class Recorder:
    """In the place of requests: what a person would send."""

    called: ClassVar[dict[str, Any]]

    @classmethod
    def put(cls, _url, json):
        cls.called = json


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_puts_everything_back(spoiled, registry, stop):
    before, tours = content(registry), list[subprocess.Popen[str]]()

    def interrupt(request, _response):
        if request.method == "DELETE" and "1234567890 " in request.get_data(as_text=True):
            os.kill(tours[0].pid, stop)
            tours[0].poll()

    with spoiled(interrupt) as url:
        command = [BIN / "devicesvc", "tour", url]
        tours.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        _, said = tours[0].communicate(timeout=30)
    assert (tours[0].returncode, said.count("\n")) == (130, 1)
    assert said.startswith("Interrupted: ")
    assert content(registry) == before


def test_that_nobody_reads_what_it_shows_keeps_nothing_from_being_put_back(start):
    url = start().url
    before = requests.get(f"{url}/v1/devices").json()["data"]
    subprocess.run(["bash", "-c", f"{BIN}/devicesvc tour {url} | head -n 1"], check=True, capture_output=True)
    assert requests.get(f"{url}/v1/devices").json()["data"] == before
