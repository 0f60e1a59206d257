"""The calls of the lab, in order, against a running service: python examples/lab_tour.py http://localhost:8000

Shows each call and its answer. At the end the registry holds the devices that it held before: those that the tour
deletes it puts back under their ids (as the last rows of the file), the one that it adds it deletes.
"""

import sys

import requests


def tour(base_url: str) -> None:
    """Make the calls, and undo them. Raises requests.RequestException where the service does not answer or refuses."""
    url = f"{base_url.rstrip('/')}/v1/devices"
    doomed = ["3635138853", "5394030919", "1234567890 "]
    before = [device for id in doomed for device in requests.get(url, params={"id": id}, timeout=10).json()["data"]]
    new_id = None
    try:
        show("Find a device by its id", "get", url, {"id": "5661391086"})
        show("Find devices by serial number and model", "get", url, {"sn": "itOYJ", "model": "Raspberry Pi 4"})
        show("Delete devices: the answer names those that there were", "delete", url, {"ids": doomed})
        new_id = show("Add a device: the answer is its id", "post", url, NEW)["data"]
        show("Change the device", "put", url, {"id": new_id, **CHANGE})
    finally:
        print("# Now everything is put back")
        if new_id:
            show("Delete the new device", "delete", url, {"ids": [new_id]})
        for device in before:
            rest = {name: value for name, value in device.items() if name != "id"}
            show(f"Put back {device['name']}", "put", f"{url}/{device['id']}", rest)


NEW = {
    "name": "test-name",
    "type": "controller",
    "hardware": {"model": "test-model", "sn": "test-sn"},
    "software": {"version": "0.1", "last_update": "2023-08-06 20:00:00"},
    "nic": [{"type": "wifi", "mac": "12:34:56:78:9a:bc", "ipv4": "192.168.1.2"}],
    "status": "online",
}
CHANGE = {
    "name": "new-name",
    "software": {"version": "0.5", "last_update": "2023-08-06 10:00:00"},
    "status": "offline",
}


def show(what: str, method: str, url: str, body: dict) -> dict:
    """Make one call, print it and its answer, and return the answer."""
    print(f"# {what}\n>>> requests.{method}({url!r}, json={body!r})")
    answer = requests.request(method, url, json=body, timeout=10)
    print(f"{answer.status_code} {answer.text}")
    answer.raise_for_status()
    return answer.json()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/lab_tour.py BASE_URL, such as http://localhost:8000")
    try:
        tour(sys.argv[1])
    except requests.RequestException as error:
        sys.exit(f"The tour ended early: {error}")
