"""The lab text, call by call, with the CSV file read after each; and the tour in examples/."""

import subprocess
import sys

import pytest
import requests

from devicesvc.api.examples import ADD as NEW
from tests.conftest import ROOT


@pytest.fixture
def rows(tmp_path):
    """The lines of device.csv below its header, as `cat` shows them now."""
    return lambda: (tmp_path / "device.csv").read_text("utf-8").splitlines()[1:]


def test_the_lab(start, rows):
    url = f"{start('./device.csv').url}/v1/devices"
    assert len(rows()) == 5

    resp = requests.get(url, json={"id": "5661391086"})
    assert resp.status_code == 200
    assert [device["id"] for device in resp.json()["data"]] == ["5661391086"]
    assert requests.get(url, json={"id": "4322159209"}).json()["data"][0]["id"] == "4322159209"

    resp = requests.get(url, json={"sn": "itOYJ", "model": "Raspberry Pi 4"})
    assert [device["id"] for device in resp.json()["data"]] == ["5661391086"]
    assert len(rows()) == 5

    resp = requests.delete(url, json={"ids": ["3635138853", "5394030919", "1234567890 "]})
    assert resp.json() == {"status": 200, "message": "devices deleted: 2", "ids": ["3635138853", "5394030919"]}
    assert [row.split(",")[0] for row in rows()] == ["4322159209", "5661391086", "8170245536"]

    resp = requests.post(url, json=NEW)
    assert resp.status_code == 201
    id = resp.json()["data"]
    assert resp.json() == {"status": 201, "message": "device added", "data": id}
    nic = "wifi,12:34:56:78:9a:bc,192.168.1.2"
    assert rows()[3:] == [f"{id},test-name,controller,test-model,test-sn,0.1,2023-08-06 20:00:00,{nic},online"]

    change = {
        "id": id,
        "name": "new-name",
        "software": {"version": "0.5", "last_update": "2023-08-06 10:00:00"},
        "status": "offline",
    }
    resp = requests.put(url, json=change)
    assert resp.json() == {"status": 200, "message": "device changed", "data": {**NEW, **change}}
    assert rows()[3:] == [f"{id},new-name,controller,test-model,test-sn,0.5,2023-08-06 10:00:00,{nic},offline"]


class TestTour:
    @staticmethod
    def tour(*arguments):
        command = [sys.executable, ROOT / "examples" / "lab_tour.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)

    @pytest.fixture
    def files(self, tmp_path):
        """The rows of the three files, in any order."""
        names = ("device.csv", "group.csv", "device_group.csv")
        return lambda: {name: sorted((tmp_path / name).read_text("utf-8").splitlines()[1:]) for name in names}

    def test_it_shows_each_call_and_leaves_the_registry_as_it_found_it(self, start, rows):
        service, before = start(), set(rows())
        ended = self.tour(service.url)
        assert ended.returncode == 0, ended.stderr
        assert set(rows()) == before
        assert f">>> requests.get('{service.url}/v1/devices', json={{'id': '5661391086'}})\n200 " in ended.stdout
        assert '"ids":["3635138853","5394030919"]' in ended.stdout
        assert '"name":"new-name"' in ended.stdout
        assert ended.stdout.count(">>> ") == 8 + 12

    def test_it_shows_calls_on_groups_from_both_ends(self, start):
        service = start()
        shown = self.tour(service.url).stdout
        assert f">>> requests.get('{service.url}/v1/groups/tour-roof/devices')\n200 " in shown
        assert '"message":"memberships added: 2"' in shown
        assert '"message":"memberships added: 1"' in shown
        assert '"message":"devices found: 2"' in shown
        assert '"message":"groups found: 2"' in shown
        assert '"message":"memberships removed: 1"' in shown
        assert '"message":"groups deleted: 2"' in shown

    def test_it_puts_what_it_deletes_back_into_its_groups(self, start, files):
        service = start()
        for number, ids in enumerate((["3635138853", "5661391086"], ["3635138853", "5394030919"], [])):
            group = f"{service.url}/v1/groups/room-{number}"
            requests.put(group, json={"name": f"Room {number}", "description": "Before the tour."}).raise_for_status()
            requests.put(f"{group}/devices", json={"ids": ids}).raise_for_status()
        before = files()
        assert [len(rows) for rows in before.values()] == [5, 3, 4]
        ended = self.tour(service.url)
        assert ended.returncode == 0, ended.stderr
        assert files() == before
        assert ended.stdout.count(">>> ") == 8 + 2 + 12

    @pytest.mark.parametrize(
        ("id", "name"), [("tour-roof", "Mine"), ("mine", "Roof of the tour"), ("mine", "Cellar of the tour")]
    )
    def test_it_names_a_group_that_is_in_its_way_and_leaves_it_alone(self, start, files, id, name):
        service = start()
        groups = f"{service.url}/v1/groups"
        requests.put(f"{groups}/{id}", json={"name": name, "description": "Mine."}).raise_for_status()
        requests.put(f"{groups}/{id}/devices", json={"ids": ["5661391086"]}).raise_for_status()
        before = files()
        ended = self.tour(service.url)
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
        way_out = f"requests.delete('{groups}', json={{'ids': ['{id}']}})"
        assert way_out in ended.stderr
        assert files() == before
        exec(way_out)
        assert self.tour(service.url).returncode == 0

    def test_it_runs_on_a_registry_without_the_samples_too(self, start, files):
        service = start()
        url = f"{service.url}/v1/devices"
        ids = [device["id"] for device in requests.get(url).json()["data"]]
        requests.delete(url, json={"ids": ids})
        ended = self.tour(service.url)
        assert ended.returncode == 0, ended.stderr
        assert files() == {"device.csv": [], "group.csv": [], "device_group.csv": []}

    def test_it_says_so_where_it_needs_a_token(self, start, tmp_path):
        (tmp_path / "tokens.txt").touch()
        ended = self.tour(start(env={"DEVICESVC_TOKENS_FILE": "tokens.txt"}).url)
        assert ended.returncode == 1
        assert ended.stderr.startswith("The tour ended early: 401 ")

    def test_it_says_what_is_wrong_where_nobody_answers(self, free_port):
        ended = self.tour(f"http://127.0.0.1:{free_port}")
        assert ended.returncode == 1
        assert ended.stderr.startswith("The tour ended early: ")
        assert "Traceback" not in ended.stderr
        assert "usage:" in self.tour().stderr
