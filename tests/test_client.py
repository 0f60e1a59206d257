"""devicesvc.client, against a running service."""

import doctest
import io
import re
import socket
import threading
from contextlib import contextmanager

import pytest
from werkzeug.wrappers import Request, Response

from devicesvc import client as module
from devicesvc import tokens
from devicesvc.client import ApiError, Client
from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES
from tests.conftest import served
from tests.hard_data import ADD, HARD, content, device

BY_ID = sorted(DEVICES, key=lambda each: each.id)


@pytest.fixture
def registry(tmp_path):
    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        yield store


@pytest.fixture
def asked():
    """The requests that the service got."""
    return list[Request]()


@pytest.fixture
def url(registry, app_over, asked):
    app = app_over(registry)

    def recorded(environ, start_response):
        asked.append(Request(environ))
        return app(environ, start_response)

    with served(recorded) as url:
        yield url


@pytest.fixture
def client(url):
    with Client(url) as client:
        yield client


@contextmanager
def raw_server(*answers):
    """The URL of a server that sends these bytes to one connection after another, and then closes it. None: it sends
    nothing, and waits for the client to close."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    while b"\r\n\r\n" not in connection.recv(65_536):
                        pass
                    if answer is None:
                        while connection.recv(65_536):
                            pass
                    else:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def ids(items):
    return [item["id"] for item in items]


def test_each_example_in_its_documentation_runs(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    service = start()
    found = sorted(doctest.DocTestFinder().find(module), key=lambda each: each.lineno or 0)
    text = "\n".join(str(each.docstring) for each in found).replace(
        "localhost:8000", service.url.removeprefix("http://")
    )
    test = doctest.DocTestParser().get_doctest(text, {"ApiError": ApiError}, "devicesvc.client", None, 0)
    said = list[str]()
    ended = doctest.DocTestRunner().run(test, out=said.append)
    assert ended.failed == 0, "".join(said)
    shown = set(re.findall(r"client\.(?:devices|groups|changes)\.(\w+)", text))
    kinds = (module.Devices, module.Groups, module.Changes)
    assert shown >= {name for kind in kinds for name in dir(kind) if name[0] != "_"} - {"pages"}


class TestLists:
    def test_they_are_fetched_page_by_page_while_they_are_read(self, client, registry, asked, monkeypatch):
        registry.write(lambda tx: tx.devices.put_many([device(f"d{number}") for number in range(7)]))
        monkeypatch.setattr(module, "PAGE", 2)
        listed = client.devices.list(name="n")
        assert asked == []
        assert [next(listed)["id"] for _ in range(3)] == ["d0", "d1", "d2"]
        assert len(asked) == 2
        assert ids(listed) == ["d3", "d4", "d5", "d6"]
        assert len(asked) == 4

    def test_limit_ends_them_and_fetches_no_more_than_it_needs(self, client, asked):
        assert ids(client.devices.list(limit=2, sort="-id")) == ids(map(vars_of, BY_ID[::-1][:2]))
        assert [request.args["limit"] for request in asked] == ["2"]
        assert list(client.devices.list(limit=0)) == []
        assert len(asked) == 1

    def test_a_limit_may_be_more_than_a_page(self, client, monkeypatch):
        monkeypatch.setattr(module, "PAGE", 2)
        assert ids(client.devices.list(limit=3)) == ids(map(vars_of, BY_ID[:3]))

    def test_members_are_found_from_both_ends(self, client):
        client.groups.put("g", {"name": "G"})
        client.groups.add_devices("g", DEVICES[0].id)
        assert ids(client.devices.list(group_id="g")) == [DEVICES[0].id]
        assert ids(client.groups.list(device_id=DEVICES[0].id)) == ["g"]

    def test_an_unknown_filter_is_refused(self, client):
        with pytest.raises(ApiError, match="did you mean `status`") as refusal:
            list(client.devices.list(state="x"))
        assert (refusal.value.status, list(refusal.value.errors)) == (422, ["state"])


def vars_of(item):
    return {"id": item.id}


class TestItems:
    @pytest.mark.parametrize("hard", HARD.values(), ids=HARD)
    def test_every_value_comes_back_as_it_was(self, client, hard):
        client.devices.import_csv(content([hard]))
        kept = client.devices.get(hard.id)
        assert client.devices.put(hard.id, kept) == kept
        assert b"".join(client.devices.export_csv(id=hard.id)) == content([hard])

    def test_the_service_or_the_caller_makes_the_id(self, client):
        assert re.fullmatch("[0-9]{10}", client.devices.add(ADD))
        assert client.devices.add({**ADD, "id": "mine"}) == "mine"
        with pytest.raises(ApiError, match=r"^There is a device with the id 'mine' already\.$") as refusal:
            client.devices.add({**ADD, "id": "mine", "name": "other"})
        assert refusal.value.status == 409
        assert client.devices.get("mine")["name"] == ADD["name"]

    @pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a?b", "a#b", "设", "%2e", "batch "])
    def test_an_id_that_no_device_has_names_nothing_else(self, client, registry, id):
        registry.write(lambda tx: tx.devices.add(device("a")))
        before = registry.devices.list()
        for call in (client.devices.get, lambda id: client.devices.set(id, {"name": "x"})):
            with pytest.raises(ApiError) as refusal:
                call(id)
            assert refusal.value.status in (404, 405)
        assert client.devices.remove(id) == []
        assert registry.devices.list() == before


class TestChanges:
    def test_they_are_fetched_page_by_page_the_newest_first(self, client, asked, monkeypatch):
        monkeypatch.setattr(module, "PAGE", 2)
        for name in "abcde":
            client.devices.set(DEVICES[0].id, {"name": name})
        asked.clear()
        for listed in (client.changes.list(limit=5), client.devices.history(DEVICES[0].id, limit=5)):
            assert [change["rows"][0]["after"] for change in listed] == list("edcba")
        assert [request.args["limit"] for request in asked] == ["2"] * 6

    def test_a_large_one_has_all_its_rows(self, client):
        client.devices.import_csv(content(device(f"d{number}") for number in range(1001)))
        last = client.changes.last()
        assert len(last["rows"]) == 100
        assert len(client.changes.get(last["number"])["rows"]) == last["count"] == 1001

    def test_the_feed_goes_on_while_changes_come(self, client, url):
        followed = client.changes.follow(client.changes.last()["number"], wait=1)
        with Client(url) as other:
            for name in ("first", "second"):
                other.devices.set(DEVICES[0].id, {"name": name})
                assert next(followed)["rows"][0]["after"] == name

    def test_the_feed_may_end_with_what_is_there(self, client):
        begin = client.changes.last()["number"]
        assert list(client.changes.follow(begin, wait=0)) == []
        client.devices.set(DEVICES[0].id, {"name": "x"})
        assert [change["count"] for change in client.changes.follow(begin, wait=0)] == [1]

    def test_if_it_may_not_wait_it_asks_again_a_moment_later(self, client, asked, monkeypatch):
        followed, paused = client.changes.follow(client.changes.last()["number"]), []
        asked.clear()

        def change(_seconds):
            paused.append(len(asked))
            client.devices.set(DEVICES[0].id, {"name": "x"})

        monkeypatch.setattr("devicesvc.client.time.sleep", change)
        assert next(followed)["rows"][0]["after"] == "x"
        assert paused == [1]

    def test_an_undo_that_is_not_possible_names_what_differs(self, client):
        client.devices.set(DEVICES[0].id, {"name": "x"})
        number = client.changes.last()["number"]
        client.devices.set(DEVICES[0].id, {"name": "y"})
        with pytest.raises(ApiError) as refusal:
            client.changes.undo(number)
        assert refusal.value.status == 409
        assert refusal.value.errors == {f"the device {DEVICES[0].id}, name": "is 'y' now"}


class TestCsv:
    def test_what_is_exported_is_imported_with_no_difference(self, client, tmp_path):
        path = tmp_path / "export.csv"
        with path.open("wb") as file:
            file.writelines(client.devices.export_csv(sort="id"))
        assert path.read_bytes() == content(BY_ID)
        for opened in (path.open("rb"), path.open("r", encoding="utf-8"), io.BytesIO(path.read_bytes())):
            with opened as file:
                assert client.devices.import_csv(file) == {
                    "added": [],
                    "changed": [],
                    "unchanged": ids(map(vars_of, BY_ID)),
                }

    def test_a_dry_run_changes_nothing(self, client, registry):
        assert client.devices.import_csv(content([device("new")]), dry_run=True)["added"] == ["new"]
        assert registry.devices.find("new") is None

    def test_each_wrong_cell_is_named(self, client):
        with pytest.raises(ApiError) as refusal:
            client.devices.import_csv(DEVICE_CSV.header + b"a,b\n")
        assert refusal.value.status == 422
        assert [place.split(",")[0] for place in refusal.value.errors] == ["line 2"]

    def test_a_refused_export_is_an_error(self, client):
        with pytest.raises(ApiError, match="sort must be one of"):
            list(client.devices.export_csv(sort="x"))

    def test_an_export_that_breaks_off_is_an_error(self):
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 9\r\n\r\nid,"
        with raw_server(answer) as url, pytest.raises(ApiError, match=f"^The connection to {url} broke off: "):
            list(Client(url).devices.export_csv())


class TestTokens:
    @pytest.fixture
    def secret(self, tmp_path):
        return tokens.create(tmp_path / "tokens.txt", "reader", "read")

    def test_one_is_sent_in_spite_of_a_netrc(self, secret, start, tmp_path, monkeypatch):
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        url = start(env={"DEVICESVC_TOKENS_FILE": "tokens.txt"}).url
        client = Client(url, token=secret)
        assert len(ids(client.devices.list())) == 5
        with pytest.raises(ApiError, match=r"^The token 'reader' may only read\.$") as refusal:
            client.devices.remove("x")
        assert refusal.value.status == 403

    def test_one_that_cannot_be_sent_is_refused_and_not_shown(self):
        for token in ("a\nb", "设备"):
            with pytest.raises(ApiError, match="has characters that no token has") as refusal:
                Client(token=token)
            assert token not in str(refusal.value)


class TestNoAnswer:
    def test_nobody(self, free_port):
        client = Client(f"localhost:{free_port}/")
        with pytest.raises(ApiError) as refusal:
            client.devices.get("x")
        assert str(refusal.value) == f"Nobody answers at http://localhost:{free_port}: Connection refused."
        assert refusal.value.status is None

    def test_silence(self):
        for call, more in (
            (lambda client: client.devices.get("x"), ""),
            (lambda client: client.devices.remove("x"), " Look whether the change was made before you send it again."),
        ):
            with raw_server(None) as url, Client(url, timeout=0.2) as client, pytest.raises(ApiError) as refusal:
                call(client)
            assert str(refusal.value) == f"{url} has been silent for 0.2 s.{more}"

    def test_a_connection_that_is_closed(self):
        with raw_server(b"") as url, pytest.raises(ApiError) as refusal:
            Client(url).devices.add({"name": "x"})
        # The second, if the server has not read the whole request when it closes the connection.
        reason = "(Remote end closed connection without response|Connection reset by peer)"
        advice = "Look whether the change was made before you send it again"
        assert re.fullmatch(rf"The connection to {url} broke off: {reason}\. {advice}\.", str(refusal.value))

    @pytest.mark.parametrize("body", ["<p>Hello", "[]", "{}", '{"status": 500}'])
    def test_something_else(self, body):
        with served(Response(body, 200, mimetype="text/html")) as url, pytest.raises(ApiError) as refusal:
            Client(url).devices.get("x")
        assert str(refusal.value) == f"What answers at {url} is not devicesvc: 200, text/html; charset=utf-8."

    def test_another_address(self):
        moved = Response("", 301, {"Location": "https://example.org/v1/devices/x"})
        with served(moved) as url, pytest.raises(ApiError) as refusal:
            Client(url).devices.get("x")
        assert str(refusal.value) == f"{url} sends its callers to https://example.org/v1/devices/x: use that address."
