"""Without tokens, the page of another site may not use its visitor's browser to read or change the registry."""

import socket

import pytest

from devicesvc.app import create_app
from devicesvc.dao.urls import open_store
from devicesvc.errors import RegistryError
from devicesvc.sample import DEVICES
from devicesvc.tokens import create

ONE = "/v1/devices/4322159209"
SERVED = [
    *("127.0.0.1:8000", "10.0.0.7", "127.1", "[::1]:8000", "[FE80::1]"),
    *("localhost", "LOCALHOST:8000", "api:8000", "my_box"),
    *("box.local:8000", "box.lab.example", "BOX.lab.example:80", ""),
]
REFUSED = [
    *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:127.0.0.1", "box.evil.example"),
    *("localhost,evil.example", "localhost.", "[::1].evil.example", "evil.example@localhost", "localhost/evil.example"),
    "例.example",
]
OWN = [
    *(("localhost:8000", "http://localhost:8000"), ("10.0.0.7", "http://10.0.0.7")),
    *(("[::1]:8000", "http://[::1]:8000"), ("api", "https://api")),
    *(("localhost:8000", "https://devices.example"), ("localhost", "http://devices.example:81")),
]
PATHS = [ONE, "/v1/devices", "/docs", "/healthz", "/metrics", "/openapi.json"]


@pytest.fixture
def service(tmp_path):
    """Makes a client of a service with these settings."""
    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        yield lambda **settings: create_app({"TOKENS_FILE": "", **settings}, store=store).test_client()


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine with a name in a domain."""
    monkeypatch.setattr(socket, "gethostname", lambda: "Box.lab.example")


@pytest.mark.parametrize("path", PATHS)
def test_the_name_of_a_stranger_is_refused_with_what_to_set(service, path):
    answer = service().get(path, headers={"Host": "evil.example:8000"})
    assert (answer.status_code, answer.content_type) == (403, "application/problem+json")
    assert answer.json["detail"] == (
        "Without tokens, this service answers only to addresses, to names without a dot and to its machine's name,"
        " not to 'evil.example:8000'. If that name is yours, start the service with it in DEVICESVC_HOSTS."
    )
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize("host", SERVED)
def test_an_address_a_name_without_a_dot_and_the_name_of_the_machine_are_served(service, host):
    assert service().get(ONE, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", REFUSED)
def test_what_only_looks_like_such_a_name_is_refused(service, host):
    assert service().get(ONE, headers={"Host": host.encode().decode("latin-1")}).status_code == 403


def test_an_answer_that_is_remembered_is_refused_too(service):
    client = service()
    assert [client.get(ONE).status_code for _ in range(2)] == [200, 200]
    assert client.get(ONE, headers={"Host": "evil.example"}).status_code == 403


def test_more_names_can_be_set(service):
    client = service(HOSTS="Devices.example, fleet.example")
    names = ["devices.example", "FLEET.example:8443", "evil.example", "sub.devices.example"]
    assert [client.get(ONE, headers={"Host": name}).status_code for name in names] == [200, 200, 403, 403]


def test_a_star_stands_for_all_names(service):
    client = service(HOSTS="*")
    assert client.get(ONE, headers={"Host": "evil.example"}).status_code == 200
    assert client.delete(ONE, headers={"Origin": "https://evil.example"}).status_code == 200


@pytest.mark.parametrize("setting", ["https://devices.example", "devices.example:8000", "a b", "*.example", "例"])
def test_a_name_that_cannot_be_one_is_refused_at_the_start(service, setting):
    with pytest.raises(RegistryError, match=r"DEVICESVC_HOSTS must be names without port, .*: .* is not a name\."):
        service(HOSTS=setting)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:3000", "https://10.0.0.7", "null", ""])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_change_from_a_page_of_another_site_is_refused_and_changes_nothing(service, method, origin):
    client = service()
    before = client.get("/v1/devices").json["data"]
    answer = getattr(client, method)(ONE, headers={"Host": "localhost:8000", "Origin": origin}, json={"name": "x"})
    assert answer.status_code == 403
    assert answer.json["detail"] == (
        f"Without tokens, this service takes no change from a page of another site, {origin!r}. If that site is yours,"
        " start the service with its name in DEVICESVC_HOSTS."
    )
    assert client.get("/v1/devices").json["data"] == before


@pytest.mark.parametrize(("host", "origin"), OWN)
def test_a_change_from_a_page_of_the_service_or_of_a_site_that_was_set_is_made(service, host, origin):
    client = service(HOSTS="devices.example")
    assert client.delete(ONE, headers={"Host": host, "Origin": origin}).status_code == 200


def test_a_read_from_a_page_of_another_site_is_served_because_its_browser_shows_it_nothing(service):
    answer = service().get(ONE, headers={"Host": "localhost", "Origin": "https://evil.example"})
    assert answer.status_code == 200
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_with_tokens_every_name_is_served(service, tmp_path):
    secret = create(tmp_path / "tokens.txt", "gateway", "write")
    headers = {"Host": "devices.example", "Origin": "https://else.example", "Authorization": f"Bearer {secret}"}
    client = service(TOKENS_FILE=str(tmp_path / "tokens.txt"))
    assert [client.get(ONE, headers=headers).status_code, client.delete(ONE, headers=headers).status_code] == [200, 200]
