"""The lab text, call by call, with the CSV file read after each."""

import pytest
import requests

from tests.hard_data import ADD as NEW


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
