"""Every view of the console, in both languages, wide and narrow, light and dark, over many devices: make test-long"""

import csv
import re

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.model import Device
from tests.browser.conftest import NETWORK_CHANGED, service_on
from tests.hard_data import ADD
from tests.strategies import only_long

pytestmark = only_long

ROWS = {"csv": 100_000, "postgresql": 2_000}
ID = "sensor-7"


@pytest.fixture(scope="module", params=ROWS)
def url(request, tmp_path_factory, clean_env):
    """The address of a service with many devices, and a group of a few of them."""
    folder, count = tmp_path_factory.mktemp("views"), ROWS[request.param]
    with service_on(request.param, request, folder, clean_env) as service:
        lines = b"".join(DEVICE_CSV.encode(device(number)) for number in range(count))
        headers = {"Content-Type": "text/csv"}
        requests.post(f"{service.url}/v1/devices/import", DEVICE_CSV.header + lines, headers=headers).raise_for_status()
        group = f"{service.url}/v1/groups/lab"
        requests.put(group, json={"name": "Lab", "description": "All that is measured."}).raise_for_status()
        requests.put(f"{group}/devices", json={"ids": [ID, "sensor-9"]}).raise_for_status()
        yield service.url


def device(number: int) -> Device:
    kinds = {"type": ("sensor", "probe")[number % 2], "status": ("online", "offline", "spare")[number % 3]}
    software = {"version": f"0.{number % 40}", "last_update": "2023-08-06 20:00:00"}
    return Device.build({**ADD, **kinds, "id": f"sensor-{number}", "name": f"sensor {number}", "software": software})


# Whatever can be used and reaches over the edge of the window.
OUTSIDE = """() => [...document.querySelectorAll("a, button, input, select, summary")].filter((each) => {
    const { left, right, width } = each.getBoundingClientRect();
    return width && each.checkVisibility() && !each.matches(".skip") && (left < 0 || right > innerWidth);
}).map((each) => each.outerHTML)"""


def looks_well(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    assert page.evaluate(OUTSIDE) == [], page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_no_view_has_a_fault(open_page, url, language, width, scheme, strangers, complaints, tmp_path):
    page = open_page(locale=language, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(f"{url}/console?status=online")
    expect(page.locator("tbody tr")).to_have_count(50)
    expect(page.locator(".facets h2")).to_have_count(5, timeout=20_000)  # the first count takes longer
    closed = page.locator("details:not([open]) > summary:visible")
    while closed.count():
        closed.first.click()
    page.locator("tbody input").first.check()
    looks_well(page)
    for button in page.locator(".bulk .actions button").all()[:-1]:
        button.click()
        page.locator("dialog details.same summary, dialog select").first.wait_for()
        looks_well(page)
        page.keyboard.press("Escape")
    changes_of_many_look_well(page, url)
    for path in (f"devices/{ID}", "groups", "groups/lab", "add", "import"):
        page.goto(f"{url}/console/{path}")
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator("p[aria-busy]")).to_have_count(0)
        looks_well(page)
    changes_of_groups_look_well(page, url)
    page.goto(f"{url}/console/import")
    page.locator("[type=file]").set_input_files(bad_file(tmp_path))
    page.locator("[type=submit]").click()
    expect(page.locator(".fault")).to_be_visible()
    looks_well(page)
    page.goto(f"{url}/console/devices/{ID}")
    page.locator(".actions button").first.click()
    page.locator("#field-name").fill("")
    page.locator("[type=submit]").click()
    expect(page.locator(".rule")).to_be_visible()
    looks_well(page)
    requests.patch(f"{url}/v1/devices/{ID}", json={"type": f"{language} {width} {scheme}"}).raise_for_status()
    page.locator("#field-name").fill("mine")
    page.locator("[type=submit]").click()
    expect(page.locator(".conflict")).to_be_visible()
    looks_well(page)
    assert strangers == []
    refused = re.compile("Failed to load resource: .* (412|422) ")
    assert [each for each in complaints if not refused.search(each) and each != NETWORK_CHANGED] == []


def changes_of_many_look_well(page: Page, url: str) -> None:
    page.goto(f"{url}/console?q=sensor 1&status=online")
    page.locator("thead input").check()
    page.locator(".bulk > button").click()
    for number in (2, 3):  # put into a group, delete
        page.locator(".bulk .actions button").nth(number).click()
        if number == 2:
            page.locator("dialog select").select_option("lab")
        page.locator("dialog [type=submit]").click()
        expect(page.locator("dialog [role=status] p").first).to_be_visible()
        page.locator("dialog summary").click()
        looks_well(page)
        page.keyboard.press("Escape")
    page.goto(f"{url}/console?type=sensor")  # of 100,000 devices: more than can be changed at once
    page.locator("thead input").check()
    page.locator(".bulk > button").click()
    looks_well(page)


def changes_of_groups_look_well(page: Page, url: str) -> None:
    page.goto(f"{url}/console/groups/lab")
    page.locator("[type=search]").fill("sensor 1")
    expect(page.locator(".found button")).to_have_count(8)
    page.locator("tbody input").first.check()
    looks_well(page)
    for button in page.locator(".title .actions button").all()[1:]:
        button.click()
        page.locator("dialog").wait_for()
        looks_well(page)
        page.keyboard.press("Escape")
    page.goto(f"{url}/console/devices/{ID}")
    page.locator("select").select_option("lab")
    page.locator(".picker ~ [type=submit]").click()
    expect(page.locator(".news")).to_be_visible()
    looks_well(page)


def bad_file(folder):
    file = folder / "bad.csv"
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows([DEVICE_CSV.header.decode().strip().split(","), ["x"] * 11])
    return file


def test_the_list_goes_on_to_the_last_of_many_devices(open_page, url):
    """Sorted and filtered: the pages have each device once."""
    page = open_page()
    page.goto(f"{url}/console?q=sensor+1&software_version=0.1&sort=-name")
    seen = []
    while True:
        shown = page.locator(".pages p").inner_text()
        seen += page.locator("tbody tr td a").all_inner_texts()
        if page.get_by_role("button", name="Next page").is_disabled():
            break
        page.get_by_role("button", name="Next page").click()
        expect(page.locator(".pages p")).not_to_have_text(shown)
    query = {"q": "sensor 1", "software_version": "0.1", "sort": "-name"}
    assert (
        seen == [each["name"] for each in requests.get(f"{url}/v1/devices", params=query).json()["data"]][: len(seen)]
    )
    assert len(seen) >= 20
