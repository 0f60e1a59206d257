"""Takes the pictures of the console and of the documentation that the READMEs show: make picture"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import requests
from playwright.sync_api import Page, sync_playwright

PORT = 18_231
HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [Path(sys.executable).parent / "devicesvc", "serve", "--host", "127.0.0.1", "--port", str(PORT)]
        service = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            next(line for line in service.stdout if "can be tried at" in line)
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
            take_console(page, f"http://127.0.0.1:{PORT}")
            page.goto(f"http://127.0.0.1:{PORT}/docs")
            page.locator("h2", has_text=re.compile(r"^Add a device\s*$")).scroll_into_view_if_needed()
            page.get_by_text("Add a device", exact=True).first.click()
            page.get_by_text('"test-name"').first.wait_for()
            page.screenshot(path=HERE / "redoc.png")
            browser.close()
        finally:
            service.terminate()
            service.communicate()


def take_console(page: Page, url: str) -> None:
    group = f"{url}/v1/groups/classroom"
    requests.put(group, json={"name": "Classroom 101"}).raise_for_status()
    requests.put(f"{group}/devices", json={"ids": ["4322159209", "8170245536"]}).raise_for_status()
    page.goto(f"{url}/console")
    page.get_by_text("Classroom 101").wait_for()
    page.get_by_role("checkbox", name="Select rooftop-gateway").check()
    page.screenshot(path=HERE / "console.png")


if __name__ == "__main__":
    main()
