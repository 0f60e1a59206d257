"""The history in the console: what was done to a device or group, undo, and all changes as they come."""

import json
import re
import subprocess
import sys

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from devicesvc import tokens
from devicesvc.dao.history import now
from tests.browser.conftest import login, many, wide
from tests.conftest import served
from tests.hard_data import ADD

pytestmark = pytest.mark.usefixtures("quiet")

GATEWAY = "5661391086"
HIDE = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});" + (
    "document.dispatchEvent(new Event('visibilitychange'))"
)
OVERRIDE = "\u202egnp.exe\u202c"  # is read from right to left
OPENED = 4  # details of a view, which has one for most of its changes
IMAGE = "<img src=x onerror=alert(1)>"


def change(url: str, id: str = GATEWAY, **fields) -> None:
    requests.patch(f"{url}/v1/devices/{id}", json=fields).raise_for_status()


def stored(url: str, id: str = GATEWAY) -> dict:
    return requests.get(f"{url}/v1/devices/{id}").json()["data"]


def group(url: str) -> None:
    requests.put(f"{url}/v1/groups/lab", json={"name": "Lab"}).raise_for_status()
    requests.put(f"{url}/v1/groups/lab/devices/{GATEWAY}").raise_for_status()


def newest(url: str) -> dict:
    return requests.get(f"{url}/v1/changes?limit=1").json()["data"][0]


def changes(page: Page):
    return page.locator(".change")


def undo(page: Page, number: int = 0):
    """Ask for the undo of a change of those that are shown. Returns the question."""
    changes(page).nth(number).get_by_role("button", name="Undo").click()
    return page.get_by_role("dialog")


def test_a_device_has_a_history_and_a_change_is_undone_after_a_look(page, url):
    change(url, status="offline", type="edge")
    page.goto(f"{url}/console/devices/{GATEWAY}")
    last = newest(url)
    expect(changes(page).first).to_contain_text("Type: gateway → edge")
    expect(changes(page).first).to_contain_text("Status: online → offline")
    expect(changes(page).first).to_contain_text(f"127.0.0.1 #{last['number']}")
    assert changes(page).first.locator("time").get_attribute("title") == last["time"]
    expect(changes(page).nth(1)).to_contain_text("Added: greenhouse-gateway")
    question = undo(page)
    expect(question.get_by_text("Nothing is changed yet. This would be done (2 rows):")).to_be_visible()
    expect(question).to_contain_text("Status: offline → online")
    assert stored(url)["status"] == "offline"
    question.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".status")).to_have_text("online")
    expect(changes(page).first).to_contain_text("Status: offline → online")
    assert (stored(url)["status"], stored(url)["type"]) == ("online", "gateway")


@wide
def test_an_undo_says_row_by_row_what_later_changes_are_in_the_way(page, url, refused):
    refused.add(409)
    change(url, status="offline", type="edge")
    change(url, status="spare", type="other")
    page.goto(f"{url}/console/devices/{GATEWAY}")
    question = undo(page, 1)
    rows = question.get_by_role("alert").get_by_role("row")
    expect(rows.nth(1)).to_contain_text(f"the device {GATEWAY}, type" + "is 'other' now")
    expect(rows.nth(2)).to_contain_text("is 'spare' now")
    expect(question.get_by_role("button", name="Undo")).to_be_disabled()


@wide
def test_an_undo_that_somebody_was_faster_than_says_so_too(page, url, refused):
    refused.add(409)
    change(url, status="offline")
    page.goto(f"{url}/console/devices/{GATEWAY}")
    question = undo(page)
    expect(question.get_by_text("This would be done")).to_be_visible()
    change(url, status="spare")
    question.get_by_role("button", name="Undo").click()
    expect(question.get_by_role("alert")).to_contain_text("is 'spare' now")
    assert stored(url)["status"] == "spare"


@wide
def test_a_deleted_device_says_so_and_comes_back_with_its_groups(page, url, refused):
    refused.add(404)
    group(url)
    change(url, name="the last name")
    requests.delete(f"{url}/v1/devices/{GATEWAY}").raise_for_status()
    page.goto(f"{url}/console/devices/{GATEWAY}")
    expect(page.get_by_role("heading", name="the last name")).to_be_visible()
    expect(page.get_by_text("This device was deleted.")).to_be_visible()
    expect(page.locator("td code").first).to_have_text("dc:a6:32:5e:71:20")
    expect(changes(page).first).to_contain_text("Taken out of the group LabDeleted: the last name")
    changes(page).first.get_by_text("CSV line").click()
    expect(changes(page).first).to_contain_text(f"{GATEWAY},the last name,gateway")
    undo(page).get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    expect(page.locator(".marks a")).to_have_text("Lab")
    expect(changes(page).first).to_contain_text("Put into the group Lab")
    assert stored(url)["name"] == "the last name"


@wide
def test_a_group_has_a_history_too_also_once_it_is_deleted(page, url, refused):
    refused.add(404)
    group(url)
    page.goto(f"{url}/console/groups/lab")
    expect(changes(page).first).to_contain_text(f"{GATEWAY} Put into the group Lab")
    undo(page).get_by_role("button", name="Undo").click()
    expect(page.get_by_text("No device is in this group yet.")).to_be_visible()
    expect(changes(page).first).to_contain_text("Taken out of the group Lab")
    requests.delete(f"{url}/v1/groups/lab").raise_for_status()
    page.reload()
    expect(page.get_by_text("This group was deleted.")).to_be_visible()
    undo(page).get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Edit")).to_be_visible()


@wide
def test_what_never_was_has_no_history(page, url, refused):
    refused.add(404)
    page.goto(f"{url}/console/devices/never")
    expect(page.get_by_role("alert")).to_contain_text("never")
    expect(page.get_by_role("heading", name="History")).to_have_count(0)


@wide
def test_the_history_shows_what_this_page_has_done_at_once(page, url):
    requests.put(f"{url}/v1/groups/lab", json={"name": "Lab"}).raise_for_status()
    page.goto(f"{url}/console/devices/{GATEWAY}")
    page.get_by_label("Group").select_option("Lab")
    page.get_by_role("button", name="Put into the group").click()
    expect(changes(page).first).to_contain_text("Put into the group Lab")
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Name").fill("other")
    page.get_by_role("button", name="Save").click()
    expect(changes(page).first).to_contain_text("Name: greenhouse-gateway → other")


def follow(page: Page, url: str) -> None:
    """Open the changes of the registry, and wait until the page waits for the next one."""
    with page.expect_request(re.compile("/v1/changes.*after=")):
        page.goto(f"{url}/console/changes")
    expect(changes(page).first).to_be_visible()


def test_a_change_of_somebody_else_appears_by_itself(page, url):
    follow(page, url)
    what = ["-X", "PATCH", "-H", "Content-Type: application/json", "-d", '{"status": "seen"}']
    subprocess.run(["curl", "-s", *what, f"{url}/v1/devices/{GATEWAY}"], check=True, capture_output=True)
    expect(changes(page).first).to_contain_text(f"{GATEWAY} Status: online → seen")


@wide
def test_who_has_scrolled_down_is_told_of_new_changes_and_is_not_moved(page, url):
    for number in range(60):
        change(url, status=f"s{number}")
    follow(page, url)
    page.get_by_role("button", name="Show more").click()
    expect(changes(page).nth(60)).to_be_attached()
    changes(page).last.scroll_into_view_if_needed()
    shown, place = changes(page).count(), page.evaluate("scrollY")
    change(url, status="first")
    expect(page.get_by_text("1 new change")).to_be_visible()
    change(url, status="second")
    expect(page.get_by_text("2 new changes")).to_be_visible()
    assert page.evaluate("scrollY") == place
    expect(changes(page)).to_have_count(shown)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(changes(page)).to_have_count(shown + 2)
    expect(changes(page).first).to_contain_text("first → second")
    assert page.evaluate("scrollY") == 0


@wide
def test_a_hidden_tab_asks_for_no_change_and_catches_up_when_it_is_seen(page, url):
    page.clock.install()
    with page.expect_response(re.compile("/v1/changes.*after=now$")):
        page.goto(f"{url}/console/changes")
    with page.expect_request(re.compile(r"/v1/changes.*after=\d")):
        page.clock.run_for(2_000)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(HIDE % "true")
    change(url, status="missed")
    page.clock.run_for(120_000)
    assert asked == []
    page.evaluate(HIDE % "false")
    expect(changes(page).first).to_contain_text("→ missed")


@wide
def test_a_batch_is_one_entry_and_its_rows_are_asked_for(page, url):
    many(url, 1000)
    page.goto(f"{url}/console/changes")
    entry = changes(page).first
    expect(entry.get_by_text("Devices added · 1,000 rows")).to_be_visible()
    expect(entry.locator(".rows")).to_have_count(0)
    entry.get_by_text("Devices added").click()
    expect(entry.locator(".rows > li")).to_have_count(1000)
    expect(entry.locator(".rows > li").last).to_contain_text("Added: sensor-999")
    many(url, 1)  # so that there is one more than a page of rows
    everything = [each["id"] for each in requests.get(f"{url}/v1/devices?limit=1000&type=sensor").json()["data"]]
    extra = requests.get(f"{url}/v1/devices?q=sensor&limit=1000&sort=-id").json()["data"][0]["id"]
    requests.delete(f"{url}/v1/devices", json={"ids": list({*everything, extra})}).raise_for_status()
    expect(entry.get_by_text("Devices deleted · 1,001 rows")).to_be_visible()
    entry.get_by_text("Devices deleted").click()
    expect(entry.get_by_text("The first 1,000 of 1,001 rows")).to_be_visible()
    entry.get_by_role("button", name="Show more").click()
    expect(entry.locator(".rows > li")).to_have_count(1001)
    question = undo(page)
    expect(question).to_contain_text("This would be done (1,001 rows):")
    expect(question).to_contain_text("and 901 more")
    question.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert requests.get(f"{url}/v1/devices?limit=1").json()["total"] == 1006


@wide
def test_the_filters_are_in_the_address(page, url):
    change(url, status="offline")
    change(url, "3635138853", status="spare")
    page.goto(f"{url}/console/changes")
    page.get_by_label("Id of a device").fill(GATEWAY)
    page.keyboard.press("Enter")
    expect(changes(page).first).to_contain_text("Status: online → offline")
    assert page.url.endswith(f"?device_id={GATEWAY}")
    page.get_by_label("From").fill("2020-01-02T03:04")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("since=2020-01-0[123]T"))
    page.get_by_label("Before").fill("2020-01-02T03:05")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No change is found.")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Before")).to_have_value("2020-01-02T03:05")
    page.get_by_role("link", name="Clear filters").click()
    expect(changes(page).first).to_contain_text("→ spare")
    expect(page.get_by_label("Id of a device")).to_have_value("")


@wide
def test_a_filter_that_the_service_refuses_says_why(page, url, refused):
    refused.add(422)
    page.goto(f"{url}/console/changes?since=yesterday")
    expect(page.get_by_role("alert")).to_contain_text("since")


@wide
def test_who_may_only_read_sees_who_changed_what_and_no_undo(page, guarded, refused):
    refused |= {401, 403}
    url, secrets, _ = guarded
    headers = {"Authorization": f"Bearer {secrets['write']}"}
    requests.patch(f"{url}/v1/devices/{GATEWAY}", json={"status": "off"}, headers=headers).raise_for_status()
    page.goto(f"{url}/console/changes")
    login(page, secrets["read"])
    expect(changes(page)).to_have_count(2)
    expect(changes(page).nth(1)).to_contain_text("at the first start")
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    changes(page).first.get_by_role("link", name="write").click()
    expect(changes(page)).to_have_count(1)
    expect(page.get_by_label("Who")).to_have_value("write")


@wide
def test_the_feed_goes_on_with_another_token_once_the_first_is_revoked(page, guarded, refused):
    refused.add(401)
    url, secrets, file = guarded
    page.goto(f"{url}/console/changes")
    login(page, secrets["write"])
    expect(changes(page).first).to_be_visible()
    file.write_text("")
    second = tokens.create(file, "second", "write")
    headers = {"Authorization": f"Bearer {second}"}
    requests.patch(f"{url}/v1/devices/{GATEWAY}", json={"status": "off"}, headers=headers).raise_for_status()
    expect(page.get_by_text("The service no longer takes your token.")).to_be_visible()
    login(page, second)
    expect(changes(page).first).to_contain_text("second")


@wide
def test_the_feed_goes_on_when_the_service_was_restarted(start, page, refused):
    refused.add(0)
    service = start()
    follow(page, service.url)
    service.stop()
    expect(page.locator(".trouble")).to_contain_text("The service does not answer.")
    start(port=service.port)
    change(service.url, status="back")
    expect(changes(page).first).to_contain_text("→ back")
    expect(page.locator(".trouble")).to_have_count(0)


@wide
def test_where_the_service_cannot_let_the_page_wait_it_asks_again_after_a_pause(page, app):
    """On a server that gives each call a thread, the first of which may not wait: the answer has Retry-After."""
    with served(app) as url:
        with page.expect_response(lambda answer: "wait=" in answer.url) as asked:
            page.goto(f"{url}/console/changes")
        assert asked.value.headers["retry-after"] == "1"
        with page.expect_response(lambda answer: "wait=" in answer.url):
            pass
        requests.post(f"{url}/v1/devices", json=ADD).raise_for_status()
        expect(changes(page).first).to_contain_text(f"Added: {ADD['name']}")
        page.close()


def test_what_a_history_holds_is_shown_as_text(page, url, refused):
    refused.add(404)
    hostile = {**ADD, "name": IMAGE, "type": OVERRIDE, "status": '"a",b\'{{7*7}}'}
    id = requests.post(f"{url}/v1/devices", json=hostile).json()["data"]
    change(url, id, status="</bdi><script>alert(1)</script>", type=IMAGE)
    requests.put(f"{url}/v1/groups/bad", json={"name": IMAGE, "description": OVERRIDE}).raise_for_status()
    requests.put(f"{url}/v1/groups/bad/devices/{id}").raise_for_status()
    requests.delete(f"{url}/v1/devices/{id}").raise_for_status()
    for path in ("changes", f"devices/{id}", "groups/bad"):
        page.goto(f"{url}/console/{path}")
        expect(changes(page).get_by_text(IMAGE).first).to_be_visible()
        assert page.locator("img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.goto(f"{url}/console/devices/{id}")
    expect(changes(page).get_by_text(OVERRIDE).first).to_be_visible()
    assert changes(page).get_by_text(OVERRIDE).first.evaluate("each => each.tagName") == "BDI"


@wide
def test_what_is_shown_as_code_does_the_same(page, url):
    change(url, status="offline")
    page.goto(f"{url}/console/changes?device_id={GATEWAY}")
    expect(changes(page).first).to_be_visible()
    page.locator("main > details.same summary").click()
    python, curl = page.locator("main > details.same pre").all_inner_texts()
    found = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True).stdout
    assert found == subprocess.run(["bash", "-c", curl], capture_output=True, text=True).stdout + "\n"
    assert json.loads(found)["data"][0]["rows"][0]["after"] == "offline"
    question = undo(page)
    question.get_by_text("The same with requests and curl").click()
    subprocess.run([sys.executable, "-c", question.locator("pre").first.inner_text()], check=True, capture_output=True)
    assert stored(url)["status"] == "online"


@wide
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_no_view_of_the_history_has_a_fault(open_page, url, language, width, scheme, refused):
    refused |= {404, 409}
    begin = now()  # other tests have made changes of 1,000 rows, which take the checker minutes
    group(url)
    change(url, status="offline", name="a name that goes on and on and so")
    many(url, 20)
    requests.delete(f"{url}/v1/devices/{GATEWAY}").raise_for_status()
    page = open_page(locale=language, color_scheme=scheme, viewport={"width": width, "height": 900})
    for path in (f"changes?since={begin}", f"devices/{GATEWAY}", "devices/3635138853", "groups/lab"):
        page.goto(f"{url}/console/{path}")
        expect(changes(page).first).to_be_visible()
        for _ in range(OPENED):
            if (closed := page.locator("details:not([open]) > summary:visible")).count():
                closed.first.click()
        looks_well(page)
    page.goto(f"{url}/console/devices/{GATEWAY}")
    for number, shown in ((0, ".rows"), (1, ".fault")):
        changes(page).nth(number).locator(".head button").click()
        expect(page.locator(f"dialog {shown}")).to_be_visible()
        looks_well(page)
        page.keyboard.press("Escape")


def looks_well(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
