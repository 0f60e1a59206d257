"""Both pages of the documentation in a real browser that can reach no other host."""

import json
import re
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from devicesvc import tokens
from devicesvc.api import examples
from devicesvc.sample import DEVICES
from tests.hard_data import content
from tests.strategies import only_long


@pytest.fixture
def url(shared_service):
    """Of a service on the sample devices."""
    devices = f"{shared_service.url}/v1/devices"
    there = [each["id"] for each in requests.get(devices).json()["data"]]
    requests.delete(devices, json={"ids": there}).raise_for_status()
    load_samples(shared_service.url)
    return shared_service.url


@pytest.fixture(autouse=True)
def quiet(url, page, strangers, complaints):  # noqa: ARG001 - the page ends before the service does
    """No page may ask another host for anything, or fail at anything, in any test here."""
    yield
    page.close()
    assert strangers == []
    assert complaints == []


def operations(url: str) -> list[dict]:
    """Every operation of the API, as its document describes it."""
    paths = requests.get(f"{url}/openapi.json").json()["paths"].values()
    return [operation for path in paths for method, operation in path.items() if method != "parameters"]


def test_redoc_shows_every_operation_and_its_example(page: Page, url):
    page.goto(f"{url}/docs")
    expect(page.get_by_role("heading", name="devicesvc")).to_be_visible()
    for operation in operations(url):
        expect(page.locator("h2", has_text=re.compile(rf"^{operation['summary']}\s*$"))).to_be_visible()
    expect(page.get_by_text('"devices found: 1"').first).to_be_visible()


@only_long
def test_redoc_shows_each_call_as_code_that_calls_this_service(page: Page, url):
    page.goto(f"{url}/docs")
    expect(page.get_by_role("tab", name="requests")).to_have_count(len(operations(url)))
    page.get_by_role("tab", name="curl").first.click()
    expect(page.get_by_text(f"curl '{url}/v1/devices?sn=itOYJ&model=Raspberry+Pi+4'")).to_be_visible()


@only_long
def test_redoc_shows_what_a_call_answers_to_a_wrong_request(page: Page, url):
    page.goto(f"{url}/docs")
    page.get_by_role("tab", name="422").first.click()
    expect(page.get_by_text('"limit must be from 1 to 1000."').first).to_be_visible()


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=only_long)])
def test_each_page_leads_to_the_other_from_any_place_on_it(page: Page, url, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{url}/docs")
    page.locator("h2", has_text="How is the service doing").scroll_into_view_if_needed()
    page.get_by_role("link", name="Try the calls").click()
    expect(page.locator(".opblock").first).to_be_visible()
    page.locator(".opblock").last.scroll_into_view_if_needed()
    page.get_by_role("link", name="Read the reference").click()
    expect(page.locator("h2", has_text="Find devices").first).to_be_visible(timeout=20_000)
    assert page.evaluate("document.documentElement.scrollWidth") == width


@only_long
def test_redoc_finds_what_is_searched_for(page: Page, url):
    """The search runs in a worker, which the Content-Security-Policy must let run."""
    page.goto(f"{url}/docs")
    page.get_by_placeholder("Search...").fill("delete")
    expect(page.locator('[data-role="search:results"]')).to_contain_text("Delete devices")


@pytest.fixture
def swagger(page, url):
    page.goto(f"{url}/docs/swagger")
    expect(page.get_by_role("heading", name="devicesvc")).to_be_visible()
    return page


def load_samples(url: str) -> None:
    """Have the sample devices as they were at first."""
    csv = {"Content-Type": "text/csv"}
    requests.post(f"{url}/v1/devices/import", content(DEVICES), headers=csv).raise_for_status()


def try_out(page: Page, operation: str) -> Locator:
    """Open an operation of Swagger UI as a reader does, ready to be executed, and return its block."""
    block = page.locator(f'.opblock[id$="-{operation}"]')
    toggle(block)
    block.get_by_role("button", name="Try it out").press("Enter")
    return block


def toggle(block: Locator) -> None:
    """Open or close it. With the keyboard, here and below: on this long page the mouse takes half as long again."""
    block.locator(".opblock-summary-control").press("Enter")


def execute(block: Locator) -> Locator:
    """Press Execute, and return the answer that Swagger UI shows."""
    block.get_by_role("button", name="Execute").press("Enter")
    expect(block.locator(".loading-container")).to_have_count(0)
    answer = block.locator(".live-responses-table .response")
    expect(answer.locator(".response-col_status")).to_be_visible()
    return answer


def status_and_json(answer: Locator) -> tuple[int, dict]:
    status = answer.locator(".response-col_status").inner_text()
    return int(status), json.loads(answer.locator(".highlight-code code").first.inner_text())


def test_without_tokens_no_padlock_is_shown(swagger):
    expect(swagger.locator(".opblock").first).to_be_visible()
    expect(swagger.locator(".authorization__btn, .btn.authorize")).to_have_count(0)


@only_long
def test_with_tokens_a_token_can_be_given(page, start, tmp_path):
    secret = tokens.create(tmp_path / "tokens.txt", "writer", "write")
    service = start(env={"DEVICESVC_TOKENS_FILE": str(tmp_path / "tokens.txt")})
    page.goto(f"{service.url}/docs/swagger")
    page.locator(".btn.authorize").click()
    page.locator(".auth-container input").fill(secret)
    page.locator(".auth-btn-wrapper .authorize").click()
    page.get_by_role("button", name="Close").click()
    status, answer = status_and_json(execute(try_out(page, "get_device")))
    assert (status, answer["data"]["name"]) == (200, "greenhouse-gateway")


@only_long
def test_every_operation_can_be_tried_as_it_is(swagger, url):
    """On one page, on which each block is closed after its use: the page gets slow with many open."""
    tried = 0
    for operation in operations(url):
        if operation["operationId"] in ("get_metrics", "patch_devices"):  # no JSON, and in need of a filter: below
            continue
        prepare(url)
        block = try_out(swagger, operation["operationId"])
        if operation["operationId"] in ("get_change", "undo_change"):
            last = requests.get(f"{url}/v1/changes?limit=1").json()["data"][0]["number"]
            block.get_by_placeholder("number").fill(str(last))
        status, answer = status_and_json(execute(block))
        assert (status, answer["status"]) in ((200, 200), (201, 201)), (operation["operationId"], answer)
        assert operation["tags"] == ["health"] or answer.get("data") or "ids" in answer, operation["operationId"]
        toggle(block)
        tried += 1
    assert tried >= 34


def prepare(url: str) -> None:
    """Have the sample devices, and one of them in the group of the examples, as each operation expects it."""
    group = f"{url}/v1/groups/{examples.GROUP['id']}"
    load_samples(url)
    requests.put(group, json=examples.PUT_GROUP).raise_for_status()
    requests.put(f"{group}/devices", json={"ids": [examples.ID]}).raise_for_status()


@only_long
def test_the_metrics_can_be_tried_as_they_are(swagger):
    answer = execute(try_out(swagger, "get_metrics"))
    expect(answer.locator(".response-col_status")).to_have_text("200")
    expect(answer.locator(".highlight-code code").first).to_contain_text('devicesvc_items{kind="devices"} 5.0')


def test_get_can_be_tried_with_one_argument_and_no_other_narrows_what_it_finds(swagger):
    block = try_out(swagger, "get_devices")
    status, answer = status_and_json(execute(block))
    assert (status, len(answer["data"])) == (200, 5)
    block.locator('[data-param-name="model"] input').fill("x86")
    status, answer = status_and_json(execute(block))
    assert (status, len(answer["data"])) == (200, 2)


@only_long
def test_all_devices_that_fit_can_be_changed_once_a_filter_is_given(swagger):
    block = try_out(swagger, "patch_devices")
    block.locator('[data-param-name="type"] input').fill("gateway")
    assert status_and_json(execute(block)) == (200, examples.PATCHED_ALL)


@only_long
def test_get_can_be_tried_with_csv_as_its_media_type(swagger):
    """Swagger UI shows a link to the file."""
    block = try_out(swagger, "get_devices")
    block.locator('[data-param-name="id"] input').fill(examples.ID)
    block.locator(".response-control-media-type--accept-controller select").select_option("text/csv")
    answer = execute(block)
    expect(answer.locator(".response-col_status")).to_have_text("200")
    with swagger.expect_download() as download:
        answer.get_by_role("link", name="Download file").click()
    assert download.value.suggested_filename == "device.csv"
    assert Path(download.value.path()).read_text("utf-8") == examples.CSV


def test_post_can_be_tried_as_it_is(swagger, url):
    status, answer = status_and_json(execute(try_out(swagger, "add_devices")))
    assert status == 201
    assert requests.get(f"{url}/v1/devices/{answer['data']}").json()["data"]["name"] == "test-name"


@only_long
def test_put_can_be_tried_as_it_is(swagger):
    status, answer = status_and_json(execute(try_out(swagger, "update_devices")))
    assert (status, answer["data"]["name"]) == (200, "new-name")


@only_long
def test_delete_can_be_tried_as_it_is(swagger, url):
    status, answer = status_and_json(execute(try_out(swagger, "delete_devices")))
    assert (status, answer["ids"]) == (200, ["3635138853", "5394030919"])
    assert len(requests.get(f"{url}/v1/devices").json()["data"]) == 3


@only_long
def test_the_import_can_be_tried_as_it_is_and_finds_what_it_says(swagger):
    answer = status_and_json(execute(try_out(swagger, "import_devices")))
    assert answer == (200, examples.IMPORTED)
    assert answer[1]["message"] == "devices added: 0, changed: 0, unchanged: 1"
