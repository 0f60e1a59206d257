"""A real Chromium that can reach the service and no other host."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from devicesvc.migrations import upgrade
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.conftest import Service, find_free_port, serve

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
