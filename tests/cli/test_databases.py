"""`devicesvc serve` on databases: started like on a file, and shared by several services."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from devicesvc.migrations import upgrade

from tests.conftest import BIN
from tests.hard_data import ADD
from tests.strategies import only_long


def ids(service):
    return [device["id"] for device in requests.get(f"{service.url}/v1/devices").json()["data"]]


def test_an_sqlite_file_is_made_with_the_sample_devices_and_kept(start, tmp_path):
    service = start("sqlite:///device.db", "--workers", "2")
    assert len(ids(service)) == 5
    assert requests.delete(f"{service.url}/v1/devices", json={"ids": ids(service)}).status_code == 200
    assert service.stop() == 0
    assert (tmp_path / "device.db").is_file()
    assert ids(start("sqlite:///device.db")) == []


@pytest.fixture(params=["postgresql", *(pytest.param(kind, marks=only_long) for kind in ("sqlite", "mariadb"))])
def database(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/device.db"
    url = request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[request.param])
    upgrade(url)
    return url


def test_two_services_share_a_database_and_eight_writers_lose_nothing(start, database):
    one, other = start(database, "--workers", "2"), start(database)
    id = requests.post(f"{one.url}/v1/devices", json=ADD).json()["data"]
    assert requests.get(f"{other.url}/v1/devices/{id}").json()["data"]["name"] == ADD["name"]

    def write(number):
        service = (one, other)[number % 2]
        answers = [requests.post(f"{service.url}/v1/devices", json=ADD) for _ in range(10)]
        assert [answer.status_code for answer in answers] == [201] * 10
        return [answer.json()["data"] for answer in answers]

    with ThreadPoolExecutor(8) as pool:
        written = {id for ids in pool.map(write, range(8)) for id in ids}
    assert len(written) == 80
    assert written < set(ids(one))
    assert ids(one) == ids(other)


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "mysql+pymysql"])
def test_a_database_that_is_not_there_is_said_in_one_sentence(clean_env, tmp_path, free_port, scheme):
    store = f"{scheme}://someone:secret@127.0.0.1:1/nowhere"
    command = [str(BIN / "devicesvc"), "serve", store, "--port", str(free_port)]
    ended = subprocess.run(command, cwd=tmp_path, env=clean_env, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "secret" not in ended.stdout + ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"Error: {scheme}://someone:***@127.0.0.1:1/nowhere")
