"""`devicesvc tour`: it says ok if a service is right, and what differs if it is not."""

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from typing import Any, ClassVar

import orjson
import pytest
import requests
from click.testing import CliRunner
from werkzeug.wrappers import Request, Response

from devicesvc import tokens
from devicesvc.cli import main
from devicesvc.dao.urls import open_store
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from devicesvc.tour import MAX_LINES
from tests.conftest import BIN, served
from tests.hard_data import ADD
from tests.terminal import on_terminal


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
    """Put two devices into groups."""
    groups = Group("a", "屋顶"), Group("b", '"B", really')
    members = [Membership(device.id, group.id) for device in DEVICES[:2] for group in groups][1:]
    store.write(lambda tx: ([tx.groups.add(group) for group in groups], tx.memberships.add(members)))


@pytest.fixture
def registry(tmp_path):
    """The samples, two of which are in groups."""
    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        add_groups(store)
        yield store


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
        assert output.startswith(
            f"# Find a device by its id\n>>> requests.get('{url}/v1/devices', json={{'id': '5661391086'}})\n200\n"
        )
        assert '"name": "new-name"' in output
        assert output.splitlines()[-1] == f"ok: {output.count('>>> ')} calls, all answered as they should."

    def test_each_file_has_the_same_bytes_as_before(self, start, tmp_path):
        url = start().url
        requests.put(f"{url}/v1/groups/g", json={"name": "组"})
        requests.post(f"{url}/v1/groups/g/devices", json={"ids": ["3635138853"]})
        names = ("device.csv", "group.csv", "device_group.csv")  # the history tells of the tour
        before = {name: (tmp_path / name).read_bytes() for name in names}
        ended = tour(url)
        assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
        assert {name: (tmp_path / name).read_bytes() for name in names} == before

    def test_no_file_of_groups_is_left_if_there_was_none(self, start, tmp_path):
        ended = tour(start().url)
        assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
        assert not list(tmp_path.glob("*group.csv"))

    def test_it_needs_none_of_the_sample_devices(self, start):
        url = start().url
        requests.delete(f"{url}/v1/devices", json={"ids": [device.id for device in DEVICES]})
        ended = tour(url)
        assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
        assert requests.get(f"{url}/v1/devices").json()["data"] == []

    def test_the_url_may_lack_http_and_come_from_the_environment(self, shared_service):
        url = shared_service.url
        for ended in (tour(url.removeprefix("http://")), tour(DEVICESVC_URL=url)):
            assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
            assert f">>> requests.get('{url}/v1/devices'" in ended.stdout

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

    @pytest.mark.parametrize("url", ["http://", "http://a..b", "ftp://localhost", "localhost:99999"])
    def test_no_address(self, url):
        ended = tour(url)
        assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1), ended.output
        assert ended.stderr.endswith(" is not the address of a service: give one such as http://localhost:8000.\n")

    def test_no_host(self):
        ended = tour("nowhere.invalid")
        assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1), ended.output
        assert ended.stderr.startswith("Error: Nobody answers at http://nowhere.invalid: ")

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
        change(response, ids=["1234567890 "])


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
        (ids_that_were_not_there, "'], not ['1234567890 ']."),
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


def test_it_reads_back_each_time_on_another_connection(spoiled):
    kept = set()
    with spoiled(
        lambda request, _: kept.add(request.headers.get("Connection")) if "tour-" in request.path else None
    ) as url:
        assert tour(url).exit_code == 0
    assert kept == {"close"}


def test_it_finds_a_change_that_is_forgotten(spoiled, registry):
    def forget(request, response):
        if request.method == "PUT" and request.path == "/v1/devices" and response.status_code == 200:
            registry.write(lambda tx: tx.devices.update(response.json["data"]["id"], {"name": "test-name"}))

    with spoiled(forget) as url:
        ended = tour(url)
    assert ended.exit_code == 1
    assert "'data' should be {'id': " in ended.stderr


def is_undo(request):
    return request.method == "DELETE" and request.path == "/v1/groups"


def test_it_undoes_when_a_service_that_was_away_is_there_again(spoiled, registry, monkeypatch):
    monkeypatch.setattr("devicesvc.tour.PAUSES", (0, 0))
    before, away = content(registry), iter([True, True])

    def be_away(request, _response):
        return Response("<p>", 502, mimetype="text/html") if is_undo(request) and next(away, False) else None

    with spoiled(be_away) as url:
        ended = tour(url)
    assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
    assert content(registry) == before
    assert next(away, None) is None


def test_it_says_what_is_left_to_do_if_something_cannot_be_undone(spoiled, monkeypatch):
    monkeypatch.setattr("devicesvc.tour.PAUSES", ())

    def fail(request, _response):
        return Response("<p>", 502, mimetype="text/html") if is_undo(request) else None

    with spoiled(fail) as url:
        ended = tour(url)
    assert ended.exit_code == 1
    (advice,) = (line for line in ended.stderr.splitlines() if "This is left to do: " in line)
    exec(advice.partition("This is left to do: ")[2], {"requests": Recorder})
    assert Recorder.called[0] == f"{url}/v1/groups"
    assert [id.startswith("tour-") for id in Recorder.called[1]["ids"]] == [True]


class Recorder:
    """In the place of requests: what a person would send."""

    called: ClassVar[tuple[str, dict[str, Any]]]

    @classmethod
    def delete(cls, url, json):
        cls.called = url, json


def test_what_would_move_the_cursor_is_shown_as_an_escape(spoiled, registry):
    registry.write(lambda tx: tx.devices.update("5661391086", {"name": "a\u202eb\u2028c"}))

    def hostile(request, _response):
        return Response("\x1b[2J", 404, mimetype="text/plain") if "tour-" in request.path else None

    with spoiled(hostile) as url:
        ended = tour(url)
    assert r'"name": "a\u202eb\u2028c"' in ended.stdout
    assert "\\u001b[2J\n" in ended.stdout
    assert all(character.isprintable() or character == "\n" for character in ended.output)


def test_it_has_colours_on_a_terminal_unless_no_color_is_set(shared_service):
    url = shared_service.url
    shown = on_terminal(["tour", url])
    assert "\x1b[36m# Find a device by its id\x1b[0m" in shown
    assert "\x1b[32m200\x1b[0m" in shown
    assert "\x1b" not in on_terminal(["tour", url], NO_COLOR="1")


def test_an_answer_with_many_lines_is_cut(spoiled, registry):
    registry.write(
        lambda tx: [tx.devices.create({**ADD, "hardware": {"model": "Raspberry Pi 4", "sn": "itOYJ"}}) for _ in "ab"]
    )
    with spoiled(lambda *_: None) as url:
        ended = tour(url)
    blocks = ended.stdout.split("\n\n")
    assert ended.stdout.count("... and ") >= 2
    assert max(block.count("\n") for block in blocks) <= MAX_LINES + 3


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_in_the_middle_it_undoes_everything(spoiled, registry, stop):
    before, tours = content(registry), list[subprocess.Popen[str]]()

    def interrupt(request, _response):
        if request.method == "DELETE" and "1234567890 " in request.get_data(as_text=True):
            os.kill(tours[0].pid, stop)
            tours[0].poll()

    with spoiled(interrupt) as url:
        command = [BIN / "devicesvc", "tour", url]
        tours.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        _, said = tours[0].communicate(timeout=60)
    assert (tours[0].returncode, said.count("\n")) == (130, 1)
    assert said.startswith("Interrupted: ")
    assert content(registry) == before


def test_that_nobody_reads_what_it_shows_keeps_nothing_from_being_undone(shared_service):
    url = shared_service.url
    before = requests.get(f"{url}/v1/devices").json()["data"]
    subprocess.run(["bash", "-c", f"{BIN}/devicesvc tour {url} | head -n 1"], check=True, capture_output=True)
    assert requests.get(f"{url}/v1/devices").json()["data"] == before
