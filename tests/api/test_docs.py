"""The pages of the documentation, as files; tests/browser looks at them."""

import re

import pytest

PAGES = ("/docs", "/docs/swagger")


def test_the_root_leads_to_the_documentation(client):
    answer = client.get("/")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/docs"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_no_inline_script_and_loads_only_from_this_host(client, path):
    answer = client.get(path, buffered=True)
    assert answer.content_type == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "http" not in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?! src=)|\bon\w+=|https?:|<style", answer.text)


@pytest.mark.parametrize("path", PAGES)
def test_all_that_a_page_names_is_there(client, path):
    links = re.findall(r'(?:src|href)="([^"]+)"', client.get(path, buffered=True).text)
    assert len(links) >= 6
    assert set(PAGES) <= set(links)
    for link in links:
        answer = client.get(link, buffered=True)
        assert answer.status_code == 200, link
        assert len(answer.data) > 10


def test_the_large_files_are_not_sent_again_to_a_browser_that_has_them(client):
    first = client.get("/docs/offapi/redoc.js", buffered=True)
    assert first.headers["Cache-Control"] == "public, max-age=86400"
    again = client.get("/docs/offapi/redoc.js", headers={"If-None-Match": first.headers["ETag"]}, buffered=True)
    assert again.status_code == 304


@pytest.mark.parametrize("path", [*PAGES, "/docs/offapi/redoc.js", "/docs/static/redoc.html"])
@pytest.mark.parametrize("condition", ["*", '"x"'])
def test_a_precondition_of_changes_is_not_asked_of_a_page(client, path, condition):
    answer = client.get(path, headers={"If-Match": condition}, buffered=True)
    assert (answer.status_code, answer.data) == (200, client.get(path, buffered=True).data)


@pytest.mark.parametrize("name", ["__init__.py", "url.json", "scalar.js", "../offapi/redoc.js", "..%2f..%2fconfig.py"])
def test_no_other_file_of_the_package_is_served(client, name):
    assert client.get(f"/docs/offapi/{name}").status_code == 404
