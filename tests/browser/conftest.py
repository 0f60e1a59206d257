"""A real Chromium that can reach the service and no other host."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from devicesvc.migrations import upgrade
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from devicesvc import tokens
from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.sample import DEVICES
from tests.conftest import Service, find_free_port, serve
from tests.hard_data import ADD
from tests.strategies import LONG

wide = pytest.mark.skipif(not LONG, reason="make test-long runs it")

# Chromium gives up what it loads if the networks of its machine change: the console asks again.
NETWORK_CHANGED = "Failed to load resource: net::ERR_NETWORK_CHANGED"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


expect.set_options(timeout=30_000)  # milliseconds: Redoc takes more than the usual five seconds on a busy machine


@contextmanager
def service_on(kind: str, request: pytest.FixtureRequest, folder: Path, env: dict[str, str]) -> Iterator[Service]:
    """A service in a folder, on a new store of this kind: csv or postgresql."""
    with ExitStack() as stack:
        arguments = []
        if kind == "postgresql":
            arguments.append(stack.enter_context(request.getfixturevalue("postgres_server").fresh_database()))
            upgrade(arguments[0])
        service = serve(*arguments, port=find_free_port(), cwd=folder, env=env)
        stack.callback(service.stop)
        yield service


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        if os.environ.get("CI"):
            pytest.fail("CI must not skip the browser tests: install chromium")
        pytest.skip("no Chromium found: install chromium to run the browser tests")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        arguments += ["--disable-gpu"]  # to imitate one takes more of the processor
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def strangers() -> list[str]:
    """The addresses outside the service that pages asked for."""
    return []


@pytest.fixture
def complaints() -> list[str]:
    """What pages wrote to the console as an error, Content-Security-Policy violations among it."""
    return []


@pytest.fixture
def open_page(browser: Browser, strangers: list[str], complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """Opens an empty page in a context of its own, with options of playwright's new_context; all end with the test."""

    def only_here(route: Route) -> None:
        if urlsplit(route.request.url).hostname in ("127.0.0.1", None):
            route.continue_()
        else:
            strangers.append(route.request.url)
            route.abort()

    def open_page(**options: Any) -> Page:
        page = browser.new_page(
            **{"viewport": {"width": 1280, "height": 900}, "locale": "en-US", "reduced_motion": "reduce", **options}
        )
        page.route("**/*", only_here)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        pages.append(page)
        return page

    pages: list[Page] = []
    yield open_page
    for page in pages:
        page.close()


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


@pytest.fixture(scope="module", params=["csv", pytest.param("postgresql", marks=wide)])
def service(request, tmp_path_factory, clean_env):
    """A service on one kind of store, which the tests here use one after another, and the folder that it runs in."""
    folder = tmp_path_factory.mktemp("console")
    with service_on(request.param, request, folder, clean_env) as service:
        yield service, folder


@pytest.fixture
def url(service):
    """The address of the service, with the sample devices again and no group."""
    url = service[0].url
    for kind in ("groups", "devices"):
        while ids := [item["id"] for item in requests.get(f"{url}/v1/{kind}").json()["data"]]:
            requests.delete(f"{url}/v1/{kind}", json={"ids": ids}).raise_for_status()
    samples = DEVICE_CSV.header + b"".join(map(DEVICE_CSV.encode, DEVICES))
    requests.post(f"{url}/v1/devices/import", samples, headers={"Content-Type": "text/csv"}).raise_for_status()
    return url


@pytest.fixture
def refused():
    """The status codes that a test expects: the browser complains of each such answer."""
    return set()


@pytest.fixture
def quiet(open_page, strangers, complaints, refused):  # noqa: ARG001 - the pages end before the service does
    """No page may ask another host for anything, break its policy, or fail at anything."""
    yield
    assert strangers == []
    failed = re.compile("Failed to load resource: (?:.*?status of ([0-9]+)|net::ERR_CONN)")
    unexpected = [each for each in complaints if not (found := failed.match(each)) or int(found[1] or 0) not in refused]
    assert [each for each in unexpected if each != NETWORK_CHANGED] == []


@pytest.fixture
def console(page, url):
    page.goto(f"{url}/console")
    expect(rows(page)).to_have_count(5)
    return page


def rows(page: Page):
    return page.locator("tbody tr")


def facet(page: Page, value: str):
    return page.locator(".facets").get_by_role("button", name=re.compile(rf"^{re.escape(value)}"))


def many(url: str, count: int) -> None:
    create = [{**ADD, "name": f"sensor-{number}", "type": "sensor"} for number in range(count)]
    for start in range(0, count, 1000):
        requests.post(f"{url}/v1/devices/batch", json={"create": create[start : start + 1000]}).raise_for_status()


@pytest.fixture
def guarded(start, tmp_path):
    """A service with tokens: its URL, the secrets by scope, and the file."""
    file = tmp_path / "tokens.txt"
    secrets = {scope: tokens.create(file, scope, scope) for scope in tokens.SCOPES}
    return start(env={"DEVICESVC_TOKENS_FILE": str(file)}).url, secrets, file


def login(page: Page, secret: str) -> None:
    page.get_by_role("textbox", name="Token").fill(secret)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
