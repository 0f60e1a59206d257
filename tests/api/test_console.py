"""The files of the console, and what is written in them; tests/browser looks at the pages."""

import gzip
import hashlib
import re

import pytest

from devicesvc import tokens
from devicesvc.api.console import POLICY
from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES
from tests.conftest import ROOT

FOLDER = ROOT / "devicesvc/console"
VIEWS = (
    "/console",
    "/console/add",
    "/console/import",
    "/console/devices/4322159209",
    "/console/groups",
    "/console/groups/a",
)


@pytest.fixture
def app(app_over, tmp_path):
    """On one kind of store: the files are the same on each."""
    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        yield app_over(store)


def test_the_root_leads_a_browser_to_the_console_and_others_to_the_documentation(client):
    browser = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["Location"]) == (302, "/console")
    other = client.get("/", headers={"Accept": "*/*"})
    assert (other.status_code, other.headers["Location"]) == (302, "/docs")
    assert browser.headers["Vary"] == other.headers["Vary"] == "Accept"


@pytest.mark.parametrize("path", VIEWS)
def test_each_view_is_the_page_under_a_strict_policy(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    assert answer.data == client.get("/console").data
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert not re.search(r"<script(?![^>]* src=)|\bon\w+=|\bstyle=|<style|https?:", answer.text)


def test_the_page_names_all_its_files_and_each_has_its_type(client):
    links = re.findall(r'(?:src|href)="(/console/[^"]+)"', client.get("/console").text)
    assert len(links) > 15
    for link in links:
        answer = client.get(link)
        assert answer.status_code == 200, link
        assert answer.mimetype == ("text/css" if link.endswith(".css") else "text/javascript"), link


def test_a_browser_keeps_the_files_for_good_and_asks_for_the_page_each_time(client):
    page = client.get("/console")
    assert page.headers["Cache-Control"] == "no-cache"
    assert client.get("/console", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304
    [file] = re.findall(r'src="(/console/files/\w+/app.js)"', page.text)
    assert client.get(file).headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_file_under_the_version_of_another_build_is_not_kept(client):
    answer = client.get("/console/files/0123456789abcdef/app.js")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")


def test_files_are_compressed_for_browsers_that_take_it(client):
    link = "/console/files/x/vendor/pico.css"
    plain, compressed = client.get(link), client.get(link, headers={"Accept-Encoding": "gzip, br"})
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.data) == plain.data
    assert len(compressed.data) < len(plain.data) / 5
    assert plain.headers["Vary"] == compressed.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["ETag"] != compressed.headers["ETag"]


@pytest.mark.parametrize("name", ["index.html", "vendor/SHA256SUMS", "none.js", "../__init__.py", "..%2f__init__.py"])
def test_no_other_file_is_served(client, name):
    assert client.get(f"/console/files/x/{name}").status_code == 404


def test_the_page_needs_no_token_and_the_api_does(app, client, monkeypatch, tmp_path):
    tokens.create(tmp_path / "tokens.txt", "reader", "read")
    monkeypatch.setitem(app.extensions, "devicesvc.tokens", tokens.Tokens(tmp_path / "tokens.txt"))
    assert client.get("/console").status_code == 200
    assert client.get("/console/files/x/app.js").status_code == 200
    assert client.get("/v1/devices").status_code == 401


def test_files_of_others_are_those_that_make_vendor_made():
    sums = re.findall(r"^(\w{64})  (\S+)$", (FOLDER / "vendor/SHA256SUMS").read_text(), re.MULTILINE)
    names = {path.name for path in (FOLDER / "vendor").iterdir()} - {"SHA256SUMS"}
    assert {name for _, name in sums} == names
    for expected, name in sums:
        assert hashlib.sha256((FOLDER / "vendor" / name).read_bytes()).hexdigest() == expected, name


def test_files_of_others_are_of_the_versions_that_the_script_names():
    versions = dict(re.findall(r"(\w+)=(\d[\d.]+)", (ROOT / "docs/vendor.sh").read_text()))
    bundle = (FOLDER / "vendor/preact-htm.js").read_text("utf-8")
    for name in ("preact", "htm", "esbuild"):
        assert f"{name} {versions[name]}" in bundle[:200]
    assert f"Pico CSS ✨ v{versions['pico']}" in (FOLDER / "vendor/pico.css").read_text("utf-8")[:200]


def words():
    lines = re.findall(
        r'^  "([^"]+)": \["([^"]+)", "([^"]+)"\],$', (FOLDER / "words.js").read_text("utf-8"), re.MULTILINE
    )
    return {key: (english, chinese) for key, english, chinese in lines}


def test_every_sentence_is_there_in_both_languages_with_the_same_values():
    text = (FOLDER / "words.js").read_text("utf-8")
    assert len(words()) == len(
        re.findall(r"^  \S.*,$", text.partition("WORDS = {")[2].partition("\n};")[0], re.MULTILINE)
    )
    for key, (english, chinese) in words().items():
        for form in english.split(" | "):
            assert set(re.findall(r"\{\w+\}", form)) == set(re.findall(r"\{\w+\}", chinese)), key
        assert re.search("[\u4e00-\u9fff]", chinese) or key == "number", key


def test_what_is_said_is_a_sentence_and_every_sentence_is_said():
    code = "\n".join(path.read_text("utf-8") for path in FOLDER.glob("*.js") if path.name != "words.js")
    said = set(re.findall(r'\bt\("([^"]+)"', code))
    assert len(said) > 60
    assert said <= words().keys()
    made = [re.sub(r"\$\{\w+\}", "§", each) for each in re.findall(r"\bt\(`([^`]+)`", code)]  # t(`set ${field}`)
    patterns = [re.escape(each).replace("§", "[a-z_]+") for each in made]
    names = set(re.findall(r"[\w ?]+", code))  # of fields, and of one sentence or the other
    for key in words().keys() - said:
        assert key in names or any(re.fullmatch(each, key) for each in patterns), key
