"""The console where there is more than one page of it, and the code that it shows beside each action."""

import json
import subprocess
import sys

import pytest
import requests
from playwright.sync_api import Page, expect

from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.model import Device
from tests.browser.conftest import facet, many, rows, wide
from tests.hard_data import ADD

pytestmark = [pytest.mark.usefixtures("quiet"), wide]

GATEWAY = "5661391086"


def group(url: str, name: str = "Lab", ids: list[str] | None = None) -> None:
    id = name.lower()
    requests.put(f"{url}/v1/groups/{id}", json={"name": name}).raise_for_status()
    requests.put(f"{url}/v1/groups/{id}/devices", json={"ids": ids or []}).raise_for_status()


def members(url: str, id: str = "lab") -> list[str]:
    return [each["id"] for each in requests.get(f"{url}/v1/groups/{id}/devices").json()["data"]]


def total(url: str, query: str = "") -> int:
    return requests.get(f"{url}/v1/devices?limit=1&{query}").json()["total"]


def code(place, title: str = "The same with requests and curl") -> list[str]:
    """What is shown as code at a place of a page: in Python, and with curl."""
    place.get_by_text(title).click()
    return place.locator("details[open] pre").all_inner_texts()


def run(*command: str, given: str = "") -> str:
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=60).stdout


def select_all_that_fit(page: Page, url: str, count: int) -> None:
    page.goto(f"{url}/console?type=sensor")
    page.get_by_role("checkbox", name="Select all on this page").check()
    page.get_by_role("button", name=f"Select all {count:,} devices that fit").click()


def test_the_code_beside_the_export_gets_the_same_file(page, url):
    page.goto(f"{url}/console?type=gateway")
    python, curl = code(page, "Export with requests and curl")
    file = requests.get(f"{url}/v1/devices?type=gateway&format=csv").text
    assert len(file.splitlines()) == 3
    assert run(sys.executable, "-c", python).strip() == file.strip()
    assert run("bash", "-c", curl) == file


def test_what_is_dragged_into_a_group_is_told_and_shown_as_code(console, url):
    group(url, ids=["3635138853"])
    console.reload()
    console.get_by_role("row", name="meter-adapter").drag_to(facet(console, "Lab"))
    told = console.locator(".news")
    expect(told).to_contain_text("Nothing is new in the group Lab.")
    console.get_by_role("row", name="greenhouse-gateway").drag_to(facet(console, "Lab"))
    expect(told).to_contain_text("1 device is new in the group Lab.")
    group(url)
    run("bash", "-c", code(told)[1])
    assert members(url) == [GATEWAY]
    facet(console, "gateway").click()
    expect(told).to_have_count(0)


def test_a_device_is_put_into_a_group_and_removed_and_both_are_shown_as_code(page, url):
    group(url)
    page.goto(f"{url}/console/devices/{GATEWAY}")
    page.get_by_label("Group").select_option("Lab")
    page.get_by_role("button", name="Put into the group").click()
    told = page.locator(".news")
    expect(told).to_contain_text("Put into the group Lab.")
    assert members(url) == [GATEWAY]
    page.get_by_role("button", name="Remove from the group Lab").click()
    expect(told).to_contain_text("Removed from the group Lab.")
    assert members(url) == []
    group(url, ids=[GATEWAY])
    run(sys.executable, "-c", code(told)[0])
    assert members(url) == []


def test_a_device_that_is_found_for_a_group_is_shown_as_code_before_it_is_added(page, url):
    group(url)
    page.goto(f"{url}/console/groups/lab")
    page.get_by_label("Add devices to this group").fill("gateway")
    search = page.locator("section.narrow")
    expect(search.get_by_role("listitem")).to_have_count(2)
    run("bash", "-c", code(search)[1])
    [first] = members(url)
    assert first in search.get_by_role("listitem").first.inner_text()


def test_a_click_on_a_model_shows_only_devices_of_just_this_model(console, url):
    requests.patch(f"{url}/v1/devices/{GATEWAY}", json={"hardware": {"model": "x86 PC 2"}}).raise_for_status()
    console.reload()
    console.locator(".facets").get_by_role("button", name="x86 PC 2", exact=True).click()  # two devices
    expect(rows(console)).to_have_count(2)
    expect(console.locator(".facets [aria-pressed=true]")).to_have_text("x86 PC2")
    console.get_by_role("button", name="Remove the filter Model: x86 PC").click()
    expect(rows(console)).to_have_count(5)


def test_all_that_fit_go_into_a_group_after_a_look(page, url):
    many(url, 120)
    sensors = [each["id"] for each in requests.get(f"{url}/v1/devices?type=sensor").json()["data"]]
    group(url, ids=sensors[:20])
    select_all_that_fit(page, url, 120)
    page.get_by_role("button", name="Put into a group …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Group").select_option("Lab")
    dialog.get_by_role("button", name="See what it would do").click()
    expect(dialog).to_contain_text("Afterwards these 120 devices are in the group Lab.")
    expect(dialog).to_contain_text("20 of them are in it already.")
    assert members(url) == sensors[:20]
    many(url, 1)  # it has not been seen, so it is not meant
    dialog.get_by_role("button", name="Put into the group").click()
    expect(dialog).to_have_count(0)
    assert members(url) == sensors


def test_all_that_fit_are_deleted_after_a_look_and_no_others(page, url):
    many(url, 120)
    select_all_that_fit(page, url, 120)
    page.get_by_role("button", name="Delete …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="See what it would do").click()
    expect(dialog).to_contain_text("This would delete 120 devices.")
    many(url, 1)
    assert total(url, "type=sensor") == 121
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog).to_have_count(0)
    assert (total(url), total(url, "type=sensor")) == (6, 1)


def test_neither_enter_nor_a_double_click_deletes_what_was_only_looked_at(page, url):
    many(url, 120)
    select_all_that_fit(page, url, 120)
    page.get_by_role("button", name="Delete …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="See what it would do").click()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Delete").hover()
    page.mouse.down(click_count=2)  # the second click of two
    page.mouse.up(click_count=2)
    expect(dialog.get_by_role("button", name="Delete")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert total(url, "type=sensor") == 120


def test_if_others_fit_by_then_nothing_is_deleted(page, url):
    many(url, 120)
    select_all_that_fit(page, url, 120)
    many(url, 1)
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="See what it would do").click()
    expect(page.get_by_text("Meanwhile others fit: nothing was changed.")).to_be_visible()
    expect(page.get_by_role("button", name="See what it would do")).to_be_enabled()
    assert total(url, "type=sensor") == 121


def test_of_many_selected_ones_only_those_that_are_still_there_would_be_deleted(page, url):
    many(url, 120)
    page.goto(f"{url}/console?type=sensor")
    page.get_by_role("checkbox", name="Select all on this page").check()
    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text("51 to 100 of 120")).to_be_visible()
    page.get_by_role("checkbox", name="Select all on this page").check()
    gone = [each["id"] for each in requests.get(f"{url}/v1/devices?type=sensor&limit=3").json()["data"]]
    requests.delete(f"{url}/v1/devices", json={"ids": gone}).raise_for_status()
    page.get_by_role("button", name="Delete …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="See what it would do").click()
    expect(dialog).to_contain_text("This would delete 97 devices.")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog).to_have_count(0)
    assert total(url, "type=sensor") == 20


def test_at_most_ten_thousand_that_fit_are_changed_at_once(page, url):
    sensors = [Device.build({**ADD, "id": f"sensor-{number:09}", "type": "sensor"}) for number in range(10_000)]
    lines = DEVICE_CSV.header + b"".join(map(DEVICE_CSV.encode, sensors))
    requests.post(f"{url}/v1/devices/import", lines, headers={"Content-Type": "text/csv"}).raise_for_status()
    group(url)
    select_all_that_fit(page, url, 10_000)
    page.get_by_role("button", name="Put into a group …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Group").select_option("Lab")
    dialog.get_by_role("button", name="See what it would do").click()
    expect(dialog).to_contain_text("Afterwards these 10,000 devices are in the group Lab.")
    curl = code(dialog)[1]  # longer than one argument of a program may be
    assert len(json.loads(run("bash", given=curl))["ids"]) == total(url, "group_id=lab") == 10_000
    many(url, 1)
    select_all_that_fit(page, url, 10_001)
    expect(page.get_by_text("At most 10,000 devices are changed at once: narrow the filters.")).to_be_visible()
    for name in ("Set status …", "Set type …", "Put into a group …", "Delete …"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()


def test_at_most_a_thousand_are_selected_one_by_one(page, url):
    many(url, 1_010)
    page.goto(f"{url}/console?type=sensor")
    for first in range(1, 1_010, 50):
        expect(page.get_by_text(f"{first:,} to {min(first + 49, 1_010):,} of 1,010")).to_be_visible()
        page.get_by_role("checkbox", name="Select all on this page").check()
        expect(page.locator(".bulk strong")).to_have_text(f"{min(first + 49, 1_010):,} selected")
        if first <= 951:
            expect(page.get_by_role("button", name="Set status …")).to_be_enabled()
            page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text("At most 1,000 selected devices are changed at once: select fewer.")).to_be_visible()
    expect(page.get_by_role("button", name="Set status …")).to_be_disabled()


def test_a_thousand_groups_and_more_are_listed_and_can_be_picked(page, url):
    ids = [f"g{number:04}" for number in range(1_050)]
    for id in ids:
        requests.put(f"{url}/v1/groups/{id}", json={"name": f"group {id}"}).raise_for_status()
    requests.put(f"{url}/v1/devices/{GATEWAY}/groups", json={"ids": ids}).raise_for_status()
    page.goto(f"{url}/console/groups")
    expect(page.get_by_text("1,000 of 1,050 groups are shown.")).to_be_visible()
    expect(rows(page)).to_have_count(1_000)
    page.get_by_role("button", name="Show more groups").click()
    expect(rows(page)).to_have_count(1_050)
    expect(page.get_by_role("button", name="Show more groups")).to_have_count(0)
    assert page.locator("tbody tr td a").all_inner_texts() == [f"group {id}" for id in ids]
    expect(rows(page).first.locator(".count")).to_have_text("1")
    expect(rows(page).last.locator(".count")).to_have_text("at most 1")  # only the thousand largest are counted
    page.goto(f"{url}/console/devices/3635138853")
    page.get_by_role("button", name="Show more groups").click()
    page.get_by_label("Group").select_option("group g1049")
    page.get_by_role("button", name="Put into the group").click()
    expect(page.get_by_text("Put into the group group g1049.")).to_be_visible()
    assert members(url, "g1049") == ["3635138853", GATEWAY]
