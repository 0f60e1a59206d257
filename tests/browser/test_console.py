"""The console in a real browser, as people use it: by mouse or keyboard, beside others, and when things go wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from devicesvc import tokens
from tests.browser.conftest import CHROMIUM, facet, login, many, rows, wide
from tests.hard_data import ADD
from tests.strategies import LONG

pytestmark = pytest.mark.usefixtures("quiet")

HOSTILE = {
    **ADD,
    "name": "<img src=x onerror=alert(1)>",
    "type": "\u202egnp.exe\u202c",
    "hardware": {"model": "\U0001f469\u200d\U0001f680" * 21, "sn": "'\"><script>alert(1)</script>"},
    "status": "{{7*7}} ${7*7} &lt;b&gt;",
}


def names(page: Page) -> list[str]:
    return page.locator("tbody tr td a").all_inner_texts()


def stored(url: str, id: str) -> dict:
    return requests.get(f"{url}/v1/devices/{id}").json()["data"]


def test_a_facet_filters_and_the_address_is_a_saved_query(console, open_page):
    expect(facet(console, "gateway")).to_have_text("gateway2")
    facet(console, "gateway").click()
    expect(rows(console)).to_have_count(2)
    facet(console, "0.3").click()
    expect(rows(console)).to_have_count(1)
    expect(facet(console, "gateway")).to_have_attribute("aria-pressed", "true")
    bookmark = open_page()
    bookmark.goto(console.url)
    expect(rows(bookmark)).to_have_count(1)
    assert names(bookmark) == ["greenhouse-gateway"]
    console.go_back()
    expect(rows(console)).to_have_count(2)
    console.get_by_role("button", name="Remove the filter Type: gateway").click()
    expect(rows(console)).to_have_count(5)


@wide
def test_the_search_finds_while_one_types(console):
    console.keyboard.press("/")
    console.keyboard.type("ROOF")
    expect(rows(console)).to_have_count(1)
    assert names(console) == ["rooftop-gateway"]
    assert console.url.endswith("/console?q=ROOF")
    console.get_by_role("searchbox").fill("nobody")
    expect(console.get_by_text("No device fits.")).to_be_visible()


@wide
def test_a_click_on_a_heading_sorts(console):
    heading = console.get_by_role("columnheader", name="Name")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    expect(rows(console).first).to_contain_text("classroom-controller")
    heading.get_by_role("button").click()
    expect(rows(console).first).to_contain_text("workshop-controller")


def test_a_device_is_added_with_its_interfaces_and_each_fault_is_beside_its_field(console, url, refused):
    refused.add(422)
    console.get_by_role("button", name="Add").click()
    for label, value in {
        "Name": "new",
        "Type": "gateway",
        "Status": "online",
        "Model": "m",
        "Serial number": "s",
    }.items():
        console.get_by_label(label, exact=True).fill(value)
    for number, mac in enumerate(("12:34:56:78:9a:bc", "12:34")):
        console.get_by_role("button", name="Add an interface").click()
        nic = console.get_by_role("group", name=f"Interface {number + 1}")
        nic.get_by_label("Type").fill("eth")
        nic.get_by_label("MAC address").fill(mac)
        nic.get_by_label("IPv4 address").fill("10.0.0.1")
    console.get_by_role("button", name="Add", exact=True).click()
    expect(console.get_by_label("Version")).to_be_focused()
    expect(console.get_by_label("Version")).to_have_accessible_description(re.compile("must be 1 to 32 characters"))
    expect(nic.get_by_label("MAC address")).to_have_accessible_description(re.compile("six pairs of hex digits"))
    console.get_by_label("Version").fill("1.0")
    nic.get_by_label("MAC address").fill("12:34:56:78:9a:bd")
    console.get_by_role("button", name="Add", exact=True).click()
    expect(console.get_by_role("heading", name="new")).to_be_focused()
    device = stored(url, console.url.rpartition("/")[2])
    assert [nic["mac"] for nic in device["nic"]] == ["12:34:56:78:9a:bc", "12:34:56:78:9a:bd"]


def edit(page: Page, url: str, **fields: str) -> None:
    page.goto(f"{url}/console/devices/5661391086")
    page.get_by_role("button", name="Edit").click()
    for name, value in fields.items():
        page.locator(f"#field-{name}").fill(value)


def test_of_two_people_who_change_a_device_the_second_sees_both_versions_and_chooses(page, open_page, url, refused):
    refused.add(412)
    other = open_page()
    edit(page, url, name="mine", status="offline")
    edit(other, url, name="theirs", type="adapter")
    other.get_by_role("button", name="Save").click()
    expect(other.get_by_role("heading", name="theirs")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    conflict = page.get_by_role("alert", name="Somebody else has changed this device meanwhile")
    expect(conflict.get_by_role("row", name="Name")).to_contain_text("minetheirs")
    expect(conflict.get_by_role("row")).to_have_count(4)  # the heading, name, type and status
    conflict.get_by_role("radio", name="theirs").check()
    conflict.get_by_role("button", name="Save this choice").click()
    expect(page.get_by_role("heading", name="theirs")).to_be_visible()
    device = stored(url, "5661391086")
    assert (device["name"], device["type"], device["status"]) == ("theirs", "adapter", "offline")


@wide
def test_a_device_is_deleted_after_a_question(page, url):
    page.goto(f"{url}/console/devices/5661391086")
    page.get_by_role("button", name="Delete …").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(rows(page)).to_have_count(4)
    assert requests.get(f"{url}/v1/devices/5661391086").status_code == 404


@wide
def test_selected_devices_get_a_status_go_into_a_group_and_are_deleted(console, url):
    requests.put(f"{url}/v1/groups/lab", json={"name": "Lab"}).raise_for_status()
    for action, fill in (("Set status …", "spare"), ("Put into a group …", None), ("Delete …", None)):
        console.get_by_role("checkbox", name="Select meter-adapter").check()
        console.get_by_role("checkbox", name="Select rooftop-gateway").check()
        console.get_by_role("button", name=action).click()
        dialog = console.get_by_role("dialog")
        if fill:
            dialog.get_by_role("textbox", name="Status").fill(fill)
        elif "group" in action:
            dialog.get_by_label("Group").select_option("Lab")
        dialog.locator("[type=submit]").click()
        expect(dialog).to_have_count(0)
        expect(console.get_by_text("2 selected")).to_have_count(0)
        if fill:
            expect(facet(console, "spare")).to_have_text("spare2")
        elif "group" in action:
            expect(facet(console, "Lab")).to_have_text("Lab2")
    expect(rows(console)).to_have_count(3)


@wide
def test_all_that_fit_are_changed_together_after_a_dry_run(page, url):
    many(url, 120)
    page.goto(f"{url}/console?type=sensor")
    expect(page.get_by_text("1 to 50 of 120")).to_be_visible()
    page.get_by_role("checkbox", name="Select all on this page").check()
    page.get_by_role("button", name="Select all 120 devices that fit").click()
    page.get_by_role("button", name="Set status …").click()
    page.get_by_role("textbox", name="Status").fill("stored")
    page.get_by_role("button", name="See what it would do").click()
    expect(page.get_by_text("This would change 120 devices.")).to_be_visible()
    assert requests.get(f"{url}/v1/devices?status=stored").json()["total"] == 0
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert requests.get(f"{url}/v1/devices?status=stored").json()["total"] == 120


@wide
def test_pages_go_on_and_back(page, url):
    many(url, 120)
    page.goto(f"{url}/console?sort=name")
    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text("51 to 100 of 125")).to_be_visible()
    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text("101 to 125 of 125")).to_be_visible()
    expect(page.get_by_role("button", name="Next page")).to_be_disabled()
    page.get_by_role("button", name="Previous page").click()
    expect(page.get_by_text("51 to 100 of 125")).to_be_visible()


@wide
def test_a_group_is_made_filled_by_a_search_and_by_dragging_renamed_and_deleted(page, url):
    page.goto(f"{url}/console/groups")
    page.get_by_role("button", name="Add a group").click()
    page.get_by_label("Name").fill("Lab")
    page.get_by_role("dialog").get_by_role("button", name="Add").click()
    page.get_by_label("Add devices to this group").fill("meter")
    page.get_by_role("button", name="Add meter-adapter").click()
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Show in the list").click()
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_role("row", name="rooftop-gateway").drag_to(facet(page, "Lab"))
    expect(facet(page, "Lab")).to_have_text("Lab2")
    page.get_by_role("link", name="Groups").click()
    expect(page.get_by_role("row", name="Lab")).to_contain_text("2")
    page.get_by_role("link", name="Lab").click()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Name").fill("Roof")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Roof")).to_be_visible()
    page.get_by_role("checkbox", name="Select meter-adapter").check()
    page.get_by_role("button", name="Remove from the group").click()
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There is no group yet.")).to_be_visible()
    assert requests.get(f"{url}/v1/devices").json()["total"] == 5


@wide
def test_what_is_filtered_is_exported_and_imported_after_a_look(console, url, tmp_path):
    console.goto(f"{url}/console?type=gateway")
    with console.expect_download() as download:
        console.get_by_role("button", name="Export CSV").click()
    file = tmp_path / "gateways.csv"
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert len(lines) == 3
    file.write_text(
        "\n".join(
            [*lines[:2], lines[2].replace("greenhouse", "glasshouse"), lines[2].replace("5661391086", "new-1"), ""]
        )
    )
    console.get_by_role("button", name="Import CSV").click()
    console.get_by_label("CSV file").set_input_files(file)
    console.get_by_role("button", name="See what it would do").click()
    for words in ("1 device added", "1 device changed", "1 device unchanged"):
        expect(console.get_by_text(words)).to_be_visible()
    assert requests.get(f"{url}/v1/devices/new-1").status_code == 404
    console.get_by_role("button", name="Import now").click()
    expect(console.get_by_role("heading", name="This was done")).to_be_visible()
    assert stored(url, "5661391086")["name"] == "glasshouse-gateway"


@wide
def test_the_faults_of_a_file_are_shown_by_line(page, url, tmp_path, refused):
    refused.add(422)
    file = tmp_path / "bad.csv"
    text = requests.get(f"{url}/v1/devices", headers={"Accept": "text/csv"}).text
    file.write_text(text.replace("192.168.1.20", "192.168.1.256"))
    page.goto(f"{url}/console/import")
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="See what it would do").click()
    expect(page.get_by_role("heading", name="Nothing is imported: 1 fault in the file")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("line [0-9].*nic_ipv4.*four numbers"))).to_be_visible()


@wide
def test_changes_of_others_are_counted_and_shown_on_request(console, url):
    console.goto("about:blank")  # what is asked now is of this page, and not of the one before
    console.clock.install()
    with console.expect_response(re.compile("after=now")):  # it counts from there
        console.goto(f"{url}/console")
    expect(rows(console)).to_have_count(5)
    for status in ("bad", "worse", "broken"):
        requests.patch(f"{url}/v1/devices/5661391086", json={"status": status}).raise_for_status()
    many(url, 60)  # one change more, of devices that are on no page shown
    console.clock.run_for(11_000)
    expect(console.get_by_text("4 changes since this list was loaded.")).to_be_visible()
    expect(console.get_by_role("row", name="greenhouse-gateway")).to_contain_text("online")
    console.get_by_role("button", name="Show", exact=True).click()
    expect(console.get_by_role("row", name="greenhouse-gateway")).to_contain_text("broken")
    expect(console.get_by_text("since this list was loaded")).to_have_count(0)


@wide
def test_a_late_answer_about_the_list_before_says_nothing_of_this_one(console, url):
    console.goto("about:blank")
    held: list[Route] = []
    console.route("**/v1/changes?after=now", lambda route: route.continue_() if held else held.append(route))
    with console.expect_request(re.compile("after=now")):
        console.goto(f"{url}/console")
    requests.patch(f"{url}/v1/devices/5661391086", json={"status": "late"}).raise_for_status()
    with console.expect_response(lambda answer: "type=adapter" in answer.url and answer.status == 304):  # all is known
        console.get_by_role("button", name="adapter").click()
    with console.expect_response(lambda answer: "/v1/devices?" in answer.url and answer.status == 200) as late:
        held[0].continue_()
    late.value.finished()
    console.evaluate("new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
    expect(console.get_by_text("since this list was loaded")).to_have_count(0)


@wide
def test_a_shown_tab_gets_no_body_again_and_a_hidden_one_asks_nothing(console):
    console.clock.install()
    console.reload()
    expect(rows(console)).to_have_count(5)
    with console.expect_response(re.compile("/v1/changes.*after=")) as asked:
        console.clock.run_for(11_000)
    assert asked.value.json()["data"] == []
    console.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    console.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    more = []
    console.on("request", lambda request: more.append(request.url))
    console.clock.run_for(120_000)
    assert more == []
    console.evaluate("Object.defineProperty(document, 'hidden', {value: false, configurable: true})")
    with console.expect_response(re.compile("/v1/changes.*after=")) as asked:
        console.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert asked.value.json()["data"] == []


@pytest.fixture
def broken(service, url):  # noqa: ARG001 - it writes the file
    """Breaks line 3 of the file of devices; `mend` writes the good one again."""
    file = service[1] / "device.csv"
    if not file.exists():
        pytest.skip("only a CSV store has a file that a person can break")
    good = file.read_text("utf-8")
    lines = good.splitlines(keepends=True)
    lines[2] = re.sub("192.168.[0-9.]+", "192.168.1.256", lines[2])
    file.write_text("".join(lines))
    yield SimpleNamespace(mend=lambda: file.write_text(good))
    file.write_text(good)


@wide
def test_a_bar_says_why_the_service_cannot_write_until_it_can(page, url, broken, refused):
    refused.add(503)
    page.clock.install()
    page.goto(f"{url}/console")
    expect(rows(page)).to_have_count(5)
    page.clock.run_for(31_000)  # at first the service may remember that it was well
    bar = page.locator(".trouble")
    expect(bar).to_contain_text(
        re.compile("The service takes no changes now.*device.csv breaks a rule: line 3, column nic_ipv4")
    )
    broken.mend()
    with page.expect_response(lambda answer: answer.url.endswith("/readyz") and answer.ok):
        page.clock.resume()
    expect(bar).to_have_count(0)


@wide
def test_the_page_waits_for_a_service_that_restarts(start, page, refused):
    refused.add(0)
    service = start()
    page.goto(f"{service.url}/console")
    expect(rows(page)).to_have_count(5)
    service.stop()
    facet(page, "gateway").click()
    expect(page.locator(".trouble")).to_contain_text("The service does not answer.")
    start(port=service.port)
    expect(rows(page)).to_have_count(2, timeout=20_000)
    expect(page.locator(".trouble")).to_have_count(0)


@wide
def test_a_change_that_nobody_answers_says_that_its_outcome_is_unknown(start, page, refused):
    refused.add(0)
    service = start()
    edit(page, service.url, name="kept")
    service.stop()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The change may have been made: look before you try again.")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("kept")


@wide
def test_a_token_is_asked_for_once_and_one_that_only_reads_hides_what_writes(page, guarded, refused):
    refused |= {401, 403}
    url, secrets, _ = guarded
    page.goto(f"{url}/console")
    page.get_by_role("textbox", name="Token").fill("wrong")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("This token is unknown to the service")).to_be_visible()
    login(page, secrets["read"])
    expect(rows(page)).to_have_count(5)
    expect(page.get_by_text("Read only")).to_be_visible()
    page.reload()
    expect(rows(page)).to_have_count(5)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("checkbox")).to_have_count(0)
    expect(page.get_by_role("button", name="Add")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    assert len(Path(download.value.path()).read_text("utf-8").splitlines()) == 6


@wide
def test_a_token_that_is_revoked_meanwhile_loses_nothing_that_was_typed(page, guarded, refused):
    refused.add(401)
    url, secrets, file = guarded
    page.goto(f"{url}/console/devices/5661391086")
    login(page, secrets["write"])
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Name").fill("kept")
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if " write" not in line))
    second = tokens.create(file, "second", "write")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The service no longer takes your token.")).to_be_visible()
    login(page, second)
    expect(page.get_by_role("heading", name="kept")).to_be_visible()


def test_hostile_content_is_shown_as_text(page, url):
    id = requests.post(f"{url}/v1/devices", json=HOSTILE).json()["data"]
    requests.put(f"{url}/v1/groups/bad", json={"name": HOSTILE["name"], "description": HOSTILE["status"]})
    requests.put(f"{url}/v1/groups/bad/devices/{id}").raise_for_status()
    for path in ("/console", f"/console/devices/{id}", "/console/groups", "/console/groups/bad"):
        page.goto(f"{url}{path}")
        expect(page.get_by_text(HOSTILE["name"]).first).to_be_visible()
        assert page.locator("img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


@wide
def test_all_is_done_by_keyboard_alone(console, url):
    console.keyboard.press("Tab")
    expect(console.get_by_role("link", name="Skip to the content")).to_be_focused()
    reach(console, "Select meter-adapter")
    console.keyboard.press("Space")
    reach(console, "Set type …", shift=True)
    console.keyboard.press("Enter")
    expect(console.get_by_role("textbox", name="Type")).to_be_focused()
    console.keyboard.type("meter")
    console.keyboard.press("Enter")
    expect(console.get_by_role("dialog")).to_have_count(0)
    assert stored(url, "3635138853")["type"] == "meter"
    reach(console, "meter-adapter")
    console.keyboard.press("Enter")
    expect(console.get_by_role("heading", name="meter-adapter")).to_be_focused()


def reach(page: Page, name: str, shift: bool = False) -> None:
    """Press Tab until something of this name has the focus."""
    for _ in range(80):
        page.keyboard.press("Shift+Tab" if shift else "Tab")
        focus = page.locator(":focus")
        if focus.count() and name in (focus.get_attribute("aria-label"), focus.inner_text().strip()):
            return
    pytest.fail(f"Tab does not reach {name}")


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"] if LONG else ["dark"])
def test_axe_finds_nothing_in_the_list(open_page, url, language, scheme):
    page = open_page(locale=language, color_scheme=scheme)
    page.goto(f"{url}/console?status=online")
    expect(rows(page)).to_have_count(3)
    check_by_axe(page)


def check_by_axe(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


@wide
def test_the_language_is_that_of_the_browser_and_a_switch_is_kept(open_page, url):
    page = open_page(locale="zh-CN")
    page.goto(f"{url}/console")
    expect(page.get_by_role("heading", name="设备")).to_be_visible()
    page.get_by_role("button", name="English").click()
    page.reload()
    expect(page.get_by_role("heading", name="Devices")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"


@wide
def test_without_javascript_the_page_says_what_still_works(url, tmp_path):
    """In a Chromium whose settings forbid scripts: only there noscript is shown."""
    settings = tmp_path / "Default/Preferences"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"profile": {"default_content_setting_values": {"javascript": 2}}}))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", f"--user-data-dir={tmp_path}", "--dump-dom"]
    shown = subprocess.run([*command, f"{url}/console"], capture_output=True, text=True, timeout=60).stdout
    assert "This page needs JavaScript." in shown
    [link] = re.findall(r'href="([^"]+)">all devices as a CSV file', shown)
    assert len(requests.get(url + link).text.splitlines()) == 6


@wide
def test_what_is_shown_as_code_does_the_same(page, url):
    """The code is run: of a search with requests, and of a change with curl."""
    page.goto(f"{url}/console?q=gate&status=online")
    expect(rows(page)).to_have_count(2)
    page.get_by_text("The same with requests and curl").click()
    python, curl = page.locator("details[open] pre").all_inner_texts()
    ran = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True)
    assert ran.stdout == subprocess.run(["bash", "-c", curl], capture_output=True, text=True).stdout + "\n"
    assert [device["name"] for device in json.loads(ran.stdout)["data"]] == ["rooftop-gateway", "greenhouse-gateway"]
    edit(page, url, name='it\'s "quoted" $HOME \\n')
    page.get_by_text("The same with requests and curl").click()
    subprocess.run(["bash", "-c", page.locator("pre").nth(1).inner_text()], check=True, capture_output=True)
    assert stored(url, "5661391086")["name"] == 'it\'s "quoted" $HOME \\n'
