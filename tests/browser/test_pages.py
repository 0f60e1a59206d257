"""Both pages of the documentation in a real browser that can reach no other host."""

import json

import pytest
import requests
from playwright.sync_api import Page, expect


@pytest.fixture
def url(start):
    return start().url


@pytest.fixture(autouse=True)
def quiet(url, page, strangers, complaints):
    """No page may ask another host for anything, or fail at anything, in any test here."""
    yield
    page.close()
    assert strangers == []
    assert complaints == []


def test_redoc_shows_every_operation_and_its_example(page: Page, url):
    page.goto(f"{url}/docs")
    expect(page.get_by_role("heading", name="devicesvc")).to_be_visible()
    for summary in ("Find devices", "Add a device", "Change a device", "Delete devices", "Get one device"):
        expect(page.locator("h2", has_text=summary)).to_be_visible()
    expect(page.get_by_text('"devices found: 1"').first).to_be_visible()


def test_redoc_finds_what_is_searched_for(page: Page, url):
    """The search runs in a worker, which the Content-Security-Policy must let run."""
    page.goto(f"{url}/docs")
    page.get_by_placeholder("Search...").fill("delete")
    expect(page.locator('[data-role="search:results"]')).to_contain_text("Delete devices")


def try_out(page: Page, operation: str) -> None:
    """Open an operation of Swagger UI as a reader does, ready to be executed."""
    block = page.locator(f"#operations-devices-{operation}")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()


def execute(page: Page, operation: str) -> tuple[int, dict]:
    """Press Execute, and return the status and the body that Swagger UI shows."""
    block = page.locator(f"#operations-devices-{operation}")
    block.get_by_role("button", name="Execute").click()
    response = block.locator(".live-responses-table .response")
    expect(response.locator(".response-col_status")).to_be_visible()
    return int(response.locator(".response-col_status").inner_text()), json.loads(
        response.locator(".highlight-code code").first.inner_text()
    )


@pytest.fixture
def swagger(page, url):
    page.goto(f"{url}/docs/swagger")
    expect(page.get_by_role("heading", name="devicesvc")).to_be_visible()
    return page


def test_get_can_be_tried_as_it_is_and_with_another_argument(swagger, url):
    try_out(swagger, "get_devices")
    status, answer = execute(swagger, "get_devices")
    assert (status, [device["id"] for device in answer["data"]]) == (200, ["5661391086"])
    block = swagger.locator("#operations-devices-get_devices")
    block.locator('[data-param-name="id"] input').fill("")
    block.locator('[data-param-name="model"] input').fill("x86")
    status, answer = execute(swagger, "get_devices")
    assert (status, len(answer["data"])) == (200, 2)


def test_post_can_be_tried_as_it_is(swagger, url):
    try_out(swagger, "add_devices")
    status, answer = execute(swagger, "add_devices")
    assert status == 201
    assert requests.get(f"{url}/v1/devices/{answer['data']}").json()["data"]["name"] == "test-name"


def test_put_can_be_tried_as_it_is(swagger, url):
    try_out(swagger, "update_devices")
    status, answer = execute(swagger, "update_devices")
    assert (status, answer["data"]["name"]) == (200, "new-name")


def test_delete_can_be_tried_as_it_is(swagger, url):
    try_out(swagger, "delete_devices")
    status, answer = execute(swagger, "delete_devices")
    assert (status, answer["ids"]) == (200, ["3635138853", "5394030919"])
    assert len(requests.get(f"{url}/v1/devices").json()["data"]) == 3
