"""The calls of the lab, in order, and then calls on groups: python examples/lab_tour.py http://localhost:8000

Shows each call to a running service and its answer. At the end the registry holds what it held before: the devices that
the tour deletes it puts back under their ids, into the groups that they were in (as the last rows of the files); the
devices and groups that it adds it deletes.
"""

import sys

import requests


def tour_of_devices(base_url: str) -> None:
    """Make the calls, and undo them. Raises requests.RequestException where the service does not answer or refuses."""
    url = f"{base_url}/v1/devices"
    doomed = ["3635138853", "5394030919", "1234567890 "]
    before = [device for id in doomed for device in read(url, id=id)]
    groups = {device["id"]: [group["id"] for group in read(f"{url}/{device['id']}/groups")] for device in before}
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
            id, name = device.pop("id"), device["name"]
            show(f"Put back {name}", "put", f"{url}/{id}", device)
            if groups[id]:
                show(f"Put {name} back into its groups", "post", f"{url}/{id}/groups", {"ids": groups[id]})


def tour_of_groups(base_url: str) -> None:
    """Make the calls, and undo them. Ends at once where one of its groups is there already."""
    devices, groups = f"{base_url}/v1/devices", f"{base_url}/v1/groups"
    ours = {"id": GROUP_ID}, {"name": GROUP["name"]}, {"name": NEW_GROUP["name"]}
    if taken := sorted({group["id"] for each in ours for group in read(groups, **each)}):
        sys.exit(
            "The tour of groups needs an id or a name that is taken, perhaps by a tour that was broken off: free it"
            f" with requests.delete({groups!r}, json={{'ids': {taken}}})."
        )
    new_ids, new_groups = [], []
    try:
        for device in (NEW, {**NEW, "name": "other-name"}):
            new_ids.append(show("Add a device to put into groups", "post", devices, device)["data"])
        one, other = new_ids
        new_groups.append(show("Add a group: the answer is its id", "post", groups, NEW_GROUP)["data"])
        show("Add a group under an id of your own", "put", f"{groups}/{GROUP_ID}", GROUP)
        new_groups.append(GROUP_ID)
        show("Find a group by its name", "get", groups, {"name": NEW_GROUP["name"]})
        show("Put devices into a group", "post", f"{groups}/{GROUP_ID}/devices", {"ids": [one, other]})
        show("The other way about: put a device into groups", "post", f"{devices}/{one}/groups", {"ids": new_groups})
        show("Find the devices in a group", "get", f"{groups}/{GROUP_ID}/devices")
        show("Find the groups that a device is in", "get", f"{devices}/{one}/groups")
        show("Remove a device from a group", "delete", f"{groups}/{GROUP_ID}/devices/{other}")
    finally:
        print("# Now everything is put back")
        if new_groups:
            show("Delete the new groups: the devices stay", "delete", groups, {"ids": new_groups})
        if new_ids:
            show("Delete the new devices", "delete", devices, {"ids": new_ids})


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
GROUP_ID = "tour-roof"
GROUP = {"name": "Roof of the tour", "description": "What the tour puts on the roof."}
NEW_GROUP = {"name": "Cellar of the tour", "description": ""}


def show(what: str, method: str, url: str, body: dict | None = None) -> dict:
    """Make one call, print it and its answer, and return the answer."""
    print(f"# {what}\n>>> requests.{method}({url!r}{f', json={body!r}' if body else ''})")
    answer = requests.request(method, url, json=body, timeout=10)
    print(f"{answer.status_code} {answer.text}")
    answer.raise_for_status()
    return answer.json()


def read(url: str, **where: str) -> list[dict]:
    """Return all that fits, page after page, and print nothing."""
    answer = requests.get(url, params=where, timeout=10)
    answer.raise_for_status()
    page = answer.json()
    return page["data"] + (read(url, **{**where, "cursor": page["next"]}) if page["next"] else [])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/lab_tour.py BASE_URL, such as http://localhost:8000")
    try:
        for tour in (tour_of_devices, tour_of_groups):
            tour(sys.argv[1].rstrip("/"))
    except requests.RequestException as error:
        sys.exit(f"The tour ended early: {error}")
