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
from tests.strategies import LONG

pytestmark = pytest.mark.skipif(not LONG, reason="make test-long runs it")

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


def axe_finds_nothing(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_no_view_has_a_fault(open_page, url, language, width, scheme, strangers, complaints, tmp_path):
    page = open_page(locale=language, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(f"{url}/console?status=online")
    expect(page.locator("tbody tr")).to_have_count(50)
    expect(page.locator(".facets h2")).to_have_count(5, timeout=20_000)  # the first count takes longer
    page.locator("details.same summary").click()
    page.locator("tbody input").first.check()
    axe_finds_nothing(page)
    for button in page.locator(".bulk .actions button").all()[:-1]:
        button.click()
        page.locator("dialog details.same summary, dialog select").first.wait_for()
        axe_finds_nothing(page)
        page.keyboard.press("Escape")
    for path in (f"devices/{ID}", "groups", "groups/lab", "add", "import"):
        page.goto(f"{url}/console/{path}")
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator("p[aria-busy]")).to_have_count(0)
        axe_finds_nothing(page)
    page.locator("[type=file]").set_input_files(bad_file(tmp_path))
    page.locator("[type=submit]").click()
    expect(page.locator(".fault")).to_be_visible()
    axe_finds_nothing(page)
    page.goto(f"{url}/console/devices/{ID}")
    page.locator(".actions button").first.click()
    page.locator("#field-name").fill("")
    page.locator("[type=submit]").click()
    expect(page.locator(".rule")).to_be_visible()
    axe_finds_nothing(page)
    requests.patch(f"{url}/v1/devices/{ID}", json={"type": f"{language} {width} {scheme}"}).raise_for_status()
    page.locator("#field-name").fill("mine")
    page.locator("[type=submit]").click()
    expect(page.locator(".conflict")).to_be_visible()
    axe_finds_nothing(page)
    assert strangers == []
    refused = re.compile("Failed to load resource: .* (412|422) ")
    assert [each for each in complaints if not refused.search(each) and each != NETWORK_CHANGED] == []


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
