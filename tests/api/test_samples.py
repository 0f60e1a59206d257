"""The code in the documentation runs as it is: each call, in Python and in the shell, on a real service."""

import json
import os
import re
import subprocess
from typing import Any

import pytest
import requests

from devicesvc import tokens
from devicesvc.api import examples
from devicesvc.api.samples import ORIGIN, TOKEN, Request, samples
from devicesvc.sample import DEVICES
from tests.strategies import only_long

CSV = {"Content-Type": "text/csv"}


@pytest.fixture(params=["with tokens", pytest.param("without tokens", marks=only_long)])
def service(request, start, tmp_path, monkeypatch):
    """A running service, and a session that may call it."""
    session, env = requests.Session(), {}
    if request.param == "with tokens":
        secret = tokens.create(tmp_path / "tokens.txt", "writer", "write")
        monkeypatch.setenv(TOKEN, secret)
        session.headers["Authorization"] = f"Bearer {secret}"
        env = {"DEVICESVC_TOKENS_FILE": str(tmp_path / "tokens.txt")}
    return start(env=env).url, session


@pytest.fixture
def prepare(service):
    """Makes the sample devices and one group, whatever was there before; the members of the group are the argument."""
    url, session = service
    devices = session.get(f"{url}/v1/devices", headers={"Accept": "text/csv"}).content

    def prepare(members):
        for items in ("groups", "devices"):
            ids = [each["id"] for each in session.get(f"{url}/v1/{items}").json()["data"]]
            session.delete(f"{url}/v1/{items}", json={"ids": ids}).raise_for_status()
        session.post(f"{url}/v1/devices/import", devices, headers=CSV).raise_for_status()
        group = f"{url}/v1/groups/{examples.GROUP['id']}"
        session.put(group, json=examples.PUT_GROUP).raise_for_status()
        session.put(f"{group}/devices", json={"ids": members}).raise_for_status()

    return prepare


def run_python(source):
    """The status and the text of the answer."""
    names = dict[str, requests.Response]()
    exec(source, names)
    return names["answer"].status_code, names["answer"].text


def run_shell(source, home):
    (home / ".curlrc").write_text('silent\nwrite-out = "\\n%{http_code}"\n')
    env = os.environ | {"CURL_HOME": str(home)}
    ended = subprocess.run(["bash", "-c", source], env=env, capture_output=True, encoding="utf-8", check=True)
    text, status = ended.stdout.rsplit("\n", 1)
    return int(status), text


def with_new_id(text):
    """The text with the id of the examples in the place of one that the service made."""
    known = {device.id for device in DEVICES}
    return re.sub(r"\b[1-9][0-9]{9}\b", lambda id: id[0] if id[0] in known else examples.NEW_ID, text)


def change(url, session):
    """Put a device into the group, and change the device as the examples do. Return the number of the last change."""
    member = f"{url}/v1/groups/{examples.GROUP['id']}/devices/{examples.ID}"
    session.put(member).raise_for_status()
    session.patch(f"{url}/v1/devices/{examples.ID}", json=examples.PATCH).raise_for_status()
    return session.get(f"{url}/v1/changes?limit=1").json()["data"][0]["number"]


def with_known_change(body):
    """The answer with the number and the author of the examples in the place of those of any change."""
    known = examples.FOUND_CHANGE["data"]
    assert isinstance(known, dict)
    author = {name: value for name, value in known.items() if name not in ("count", "rows")}
    found = body["data"] if isinstance(body.get("data"), list) else [body.get("data")]
    for change in found:
        if isinstance(change, dict) and "request_id" in change:
            change |= author
    if isinstance(body.get("next"), int):
        body["next"] = examples.NUMBER
    return {**body, "message": re.sub(r"(?<=^change )\d+", str(examples.NUMBER), body["message"])}


def test_each_sample_of_each_call_is_answered_as_the_document_promises(service, prepare, tmp_path, capsys):
    """To add members needs a group without them; to find or remove them needs one with them."""
    url, session = service
    ran = []
    for path, operations in session.get(f"{url}/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            for sample in operation["x-codeSamples"]:
                assert ORIGIN in sample["source"]
                source = sample["source"].replace(ORIGIN, url)
                is_history = re.search("change|history", path)
                prepare([examples.ID, *examples.IDS] if method in ("get", "delete") and not is_history else [])
                if is_history:
                    source = source.replace(f"/changes/{examples.NUMBER}", f"/changes/{change(url, session)}")
                status, text = run_python(source) if sample["lang"] == "Python" else run_shell(source, tmp_path)
                where = (method, path, sample["label"])
                assert str(status) in operation["responses"], (*where, text)
                assert status in (200, 201), (*where, text)
                if promised := operation["responses"][str(status)]["content"].get("application/json"):
                    body = json.loads(with_new_id(text))
                    assert (*where, with_known_change(body)) == (*where, promised["example"])
                if sample["lang"] == "Python":
                    assert capsys.readouterr().out.startswith(f"{status} ")
                ran.append(sample["label"])
    assert ran == ["requests", "curl"] * (len(ran) // 2)
    assert len(ran) >= 70


def test_a_sample_sends_what_the_example_says(tmp_path):
    """Quotes, accents and line breaks come through the shell and through Python as they are."""
    body = {"name": 'it\'s "a" $HOME `x` 设备\n', "type": "t" * 80}
    request = Request("put", "/v1/devices/1", [("q", "a&b 'c'")], "application/json", body)
    python, shell = (each["source"] for each in samples(request, answers_json=True, needs_token=False))
    sent = python.replace("requests.put", "sent").replace("print(", "print if True else (")
    names: dict[str, Any] = {"sent": lambda url, **options: (url, options)}
    exec(sent, names)
    assert names["answer"] == (f"{ORIGIN}/v1/devices/1", {"params": {"q": "a&b 'c'"}, "json": body})
    (tmp_path / "curl").write_text('#!/bin/bash\nprintf "%s\\0" "$@"\n')
    (tmp_path / "curl").chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    given = subprocess.run(["bash", "-c", shell], env=env, capture_output=True, encoding="utf-8").stdout.split("\0")
    assert given[:5] == ["-X", "PUT", f"{ORIGIN}/v1/devices/1?q=a%26b+%27c%27", "-H", "Content-Type: application/json"]
    assert json.loads(given[6]) == body
