"""devicesvc device"""

import errno
import json
import os
import re
import subprocess
import sys

import pytest
from werkzeug.wrappers import Response

from devicesvc.api import queries
from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.model import DeviceFilter, Group, GroupFilter, Membership
from devicesvc.sample import DEVICES
from tests.conftest import BIN, served
from tests.hard_data import content, device
from tests.terminal import on_terminal

ID = DEVICES[1].id
BY_ID = sorted(DEVICES, key=lambda each: each.id)

VALUES = (
    "name=设备",
    "type=controller",
    "status=on=line",
    "hardware.model=test model",
    "hardware.sn=s",
    "software.version=0.1",
    "software.last_update=2023-08-06 20:00:00",
    'nic=[{"type": "eth", "mac": "12:34:56:78:9a:bc", "ipv4": "10.0.0.1"}]',
)
TABLE = """\
ID          NAME                  TYPE        MODEL           SN     VERSION  IPV4                       STATUS
4322159209  classroom-controller  controller  Raspberry Pi 4  Qm3vK  0.3      192.168.1.10 192.168.1.11  online
5661391086  greenhouse-gateway    gateway     Raspberry Pi 4  itOYJ  0.3      192.168.1.20               online
"""


def add(registry, **changes):
    registry.write(lambda tx: tx.devices.put(device(**changes)))


class TestList:
    def test_it_is_a_json_array_with_a_device_a_line(self, done):
        shown = done("device", "list")
        assert [each["id"] for each in json.loads(shown)] == [each.id for each in BY_ID]
        assert len(shown.splitlines()) == 7

    def test_an_empty_one_is_an_empty_array_or_a_header(self, done):
        assert json.loads(done("device", "list", "--type", "none")) == []
        assert done("device", "list", "--type", "none", "--table").split() == TABLE.splitlines()[0].split()

    def test_filters_sort_and_limit_apply(self, done):
        assert done("device", "list", "--model", "RASPBERRY", "--status", "online", "--table") == TABLE
        shown = json.loads(done("device", "list", "--sort", "-name", "--limit", "1"))
        assert [each["name"] for each in shown] == ["workshop-controller"]

    @pytest.mark.parametrize(
        ("command", "where", "schema"),
        [
            ("device", DeviceFilter, queries.DeviceQuerySchema),
            ("group", GroupFilter, queries.GroupQuerySchema),
        ],
    )
    def test_each_filter_of_the_api_is_an_option(self, run, command, where, schema):
        shown = run(command, "list", "--help").stdout
        for name in schema().fields.keys() - {"cursor", "total"}:
            assert f"--{name.replace('_', '-')} " in shown
        assert schema().fields["sort"].validate.choices == [sign + name for name in where.SORTS for sign in ("", "-")]

    def test_several_groups_narrow(self, done, registry):
        registry.write(lambda tx: [tx.groups.add(Group(name, name)) for name in "ab"])
        both, one = DEVICES[0].id, DEVICES[1].id
        registry.write(
            lambda tx: tx.memberships.add([Membership(both, "a"), Membership(both, "b"), Membership(one, "a")])
        )
        assert [each["id"] for each in json.loads(done("device", "list", "--group-id", "a"))] == [both, one]
        shown = done("device", "list", "--group-id", "a", "--group-id", "b")
        assert [each["id"] for each in json.loads(shown)] == [both]

    def test_a_terminal_gets_a_table_and_no_character_that_it_would_obey(self, registry, service_url):
        add(registry, id="a", name="设备", status="\u202eb\u2028c")
        shown = on_terminal(["device", "list", "--limit", "6"], DEVICESVC_URL=service_url)
        lines = shown.splitlines()
        assert lines[0].split() == TABLE.splitlines()[0].split()
        assert lines[-1].startswith("a           设备                  t ")
        assert lines[-1].endswith(r"\u202eb\u2028c")

    def test_json_on_a_terminal_has_escapes(self, registry, service_url):
        add(registry, id="a", name="\u202e设备")
        shown = on_terminal(["device", "list", "--json", "--id", "a"], DEVICESVC_URL=service_url)
        assert r"\u202e设备" in shown
        assert json.loads(shown)[0]["name"] == "\u202e设备"

    def test_a_terminal_without_chinese_gets_escapes(self, registry, service_url):
        add(registry, id="a", name="设备")
        env = {"DEVICESVC_URL": service_url, "PYTHONIOENCODING": "ascii"}
        assert r"\u8bbe\u5907" in on_terminal(["device", "list", "--id", "a"], **env)

    @pytest.mark.parametrize(
        "command", ["device list", "device list --table", "device export", "device get 5661391086"]
    )
    def test_a_reader_who_has_gone_is_no_traceback(self, registry, service_url, command):
        registry.write(lambda tx: tx.devices.put_many([device(f"d{number}") for number in range(100)]))
        nobody, stdout = os.pipe()
        os.close(nobody)
        env = os.environ | {"DEVICESVC_URL": service_url, "PYTHONUNBUFFERED": ""}
        ended = subprocess.run([BIN / "devicesvc", *command.split()], stdout=stdout, stderr=subprocess.PIPE, env=env)
        os.close(stdout)
        assert (ended.returncode, ended.stderr) == (1, b"")

    def test_nothing_but_the_error_is_shown_if_nobody_answers(self, run, free_port):
        ended = run("device", "list", "--url", f"localhost:{free_port}")
        assert (ended.exit_code, ended.stdout) == (1, "")
        words = f"Nobody answers at http://localhost:{free_port}: Connection refused."
        assert ended.stderr == f"Error: {words} Another address: --url or DEVICESVC_URL.\n"

    @pytest.mark.parametrize(
        "answer", ['{"status": 200}', '{"status": 200, "data": [{}]}', '{"status": 200, "data": [1]}']
    )
    def test_an_answer_of_something_else_is_no_traceback(self, run, answer):
        with served(Response(answer, mimetype="application/json")) as url:
            ended = run("device", "list", "--table", "--url", url)
        assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1)
        assert ended.stderr.startswith(f"Error: What answers at {url} does not answer as devicesvc does: ")


class TestGet:
    def test_it_is_json_or_a_table_of_what_set_takes(self, done):
        assert json.loads(done("device", "get", ID))["hardware"] == {"model": "Raspberry Pi 4", "sn": "itOYJ"}
        shown = done("device", "get", ID, "--table").splitlines()
        assert shown[0].split() == ["FIELD", "VALUE"]
        assert "hardware.model        Raspberry Pi 4" in shown
        values = ["=".join(line.split(None, 1)) for line in shown[1:]]
        assert json.loads(done("device", "set", ID, *values)) == json.loads(done("device", "get", ID))

    def test_one_that_is_not_there(self, refused):
        assert refused("device", "get", "x") == "There is no device with the id 'x'."


class TestAdd:
    def test_it_prints_the_id(self, done, registry):
        id = done("device", "add", *VALUES).strip()
        kept = registry.devices.get(id)
        assert (kept.name, kept.status, kept.hardware.model, kept.nic[0].ipv4) == (
            "设备",
            "on=line",
            "test model",
            "10.0.0.1",
        )
        assert done("device", "add", *VALUES, "id=mine") == "mine\n"

    def test_it_takes_what_get_prints(self, done, refused, registry):
        printed = done("device", "get", ID)
        assert (
            refused("device", "add", "--from", "-", input=printed) == f"There is a device with the id '{ID}' already."
        )
        assert done("device", "add", "--from", "-", "id=copy", "hardware.sn=other", input=printed) == "copy\n"
        copy, model = registry.devices.get("copy"), registry.devices.get(ID)
        assert (copy.name, copy.hardware.model, copy.hardware.sn) == (model.name, model.hardware.model, "other")

    def test_what_is_missing_is_named(self, refused):
        words = refused("device", "add", "name=x")
        assert words.startswith("type is required; hardware is required; ")

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (["name"], "'name' should be FIELD=VALUE, such as status=offline."),
            (["=x"], "'=x' should be FIELD=VALUE"),
            (["nic=x"], "nic is not proper JSON: "),
            (["nic.0.mac=12:34:56:78:9a:bc"], "nic is given as a whole, as JSON: "),
            (["name=x", "name.first=y"], "name has no fields, so there is no name.first."),
        ],
    )
    def test_what_is_no_field_and_value_is_refused(self, run, values, words):
        for command in (["device", "add"], ["device", "set", ID]):
            ended = run(*command, *values)
            assert ended.exit_code == 2
            assert f"\nError: {words}" in ended.stderr

    @pytest.mark.parametrize("text", ["[]", "{", "\x1b", "\xff"])
    def test_a_file_without_a_json_object_is_refused(self, run, text):
        ended = run("device", "add", "--from", "-", input=text)
        assert ended.exit_code == 2
        assert (
            "\nError: What --from gives " in ended.stderr or "\nError: what --from gives is not proper" in ended.stderr
        )


class TestSet:
    def test_only_what_is_given_changes(self, done, registry):
        before = registry.devices.get(ID)
        shown = json.loads(done("device", "set", ID, "status=offline", "software.version=0.5", "nic=[]"))
        assert shown["status"] == "offline"
        after = registry.devices.get(ID)
        changes = {"status": "offline", "software": {"version": "0.5"}, "nic": []}
        assert after == before.merge(changes)

    def test_an_unknown_field_is_named(self, refused):
        words = "state is not a field of this object; did you mean `status`?"
        assert refused("device", "set", ID, "state=x") == words


class TestRemove:
    def test_one_goes_and_the_others_stay(self, done, registry):
        assert done("device", "rm", ID) == "Removed 1 device.\n"
        assert {each.id for each in DEVICES} - {each.id for each in registry.devices.list()} == {ID}

    def test_those_that_are_not_there_are_named(self, run, registry):
        ended = run("device", "rm", "x", ID, "y", "x")
        assert (ended.exit_code, ended.stdout) == (1, "Removed 1 device.\n")
        assert ended.stderr == "Error: There is no device with the id 'x', 'y'.\n"
        assert registry.devices.find(ID) is None

    def test_if_none_of_them_is_there_nothing_is_said_to_be_removed(self, run):
        ended = run("device", "rm", "x")
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert ended.stderr == "Error: There is no device with the id 'x'.\n"

    @pytest.mark.parametrize(("options", "typed", "left"), [([], "n\n", 5), ([], "y\n", 3), (["-y"], "", 3)])
    def test_a_person_is_asked_before_several_go(self, registry, service_url, options, typed, left):
        ids = [each.id for each in DEVICES[:2]]
        shown = on_terminal(["device", "rm", *ids, *options], typed, DEVICESVC_URL=service_url)
        assert ("Remove 2 devices? [y/N]" in shown) == (not options)
        assert len(registry.devices.list()) == left

    def test_nobody_is_asked_about_one(self, registry, service_url):
        assert on_terminal(["device", "rm", ID], DEVICESVC_URL=service_url) == "Removed 1 device.\n"
        assert len(registry.devices.list()) == 4


class TestCsv:
    def test_it_is_printed_or_written(self, done, tmp_path):
        assert done("device", "export").encode() == content(BY_ID)
        assert done("device", "export", "-").encode() == content(BY_ID)
        assert done("device", "export", str(tmp_path / "x.csv"), "--status", "offline") == f"Wrote {tmp_path}/x.csv.\n"
        assert (tmp_path / "x.csv").read_bytes() == content([each for each in BY_ID if each.status == "offline"])

    def test_a_file_is_only_replaced_if_that_is_asked_for(self, done, refused, tmp_path):
        path = tmp_path / "x.csv"
        path.write_text("mine")
        assert refused("device", "export", str(path)) == f"{path} exists: give another name, or --replace."
        assert path.read_text() == "mine"
        done("device", "export", str(path), "--replace")
        assert path.read_bytes() == content(BY_ID)

    def test_a_refused_export_leaves_the_file_as_it_was(self, refused, tmp_path):
        path = tmp_path / "x.csv"
        path.write_text("mine")
        words = refused("device", "export", str(path), "--replace", "--limit", "1001")
        assert words == "limit must be from 1 to 1000."
        assert path.read_text() == "mine"
        assert [each for each in tmp_path.iterdir() if each.suffix == ".tmp"] == []

    def test_a_file_that_cannot_be_written_is_named(self, refused, tmp_path):
        path = tmp_path / "none" / "x.csv"
        assert refused("device", "export", str(path)) == (
            f"{path} cannot be written: {os.strerror(errno.ENOENT)}. Nothing was changed."
        )

    def test_a_terminal_gets_no_character_that_it_would_obey(self, registry, service_url):
        add(registry, id="a", name="\u202e设备")
        shown = on_terminal(["device", "export", "--id", "a"], DEVICESVC_URL=service_url)
        assert "\na,\\u202e设备,t," in shown

    def test_an_import_says_what_it_did(self, done, registry, tmp_path):
        path = tmp_path / "x.csv"
        many = [device(f"n{number:02}") for number in range(12)]
        path.write_bytes(content([*many, DEVICES[0], DEVICES[1].merge({"status": "x"})]))
        ids = {"added": [each.id for each in many], "changed": [DEVICES[1].id], "unchanged": [DEVICES[0].id]}
        shown = done("device", "import", str(path), "--dry-run", "--table")
        assert shown == (
            "added: 12 (n00, n01, n02, n03, n04, n05, n06, n07, n08, n09, ...)\n"
            f"changed: 1 ({DEVICES[1].id})\nunchanged: 1 ({DEVICES[0].id})\n"
            "Nothing was changed: this was a dry run.\n"
        )
        assert len(registry.devices.list()) == 5
        assert json.loads(done("device", "import", "-", input=path.read_bytes())) == ids
        assert len(registry.devices.list()) == 17
        assert done("device", "import", str(path), "--table").startswith("added: 0\nchanged: 0\nunchanged: 14 (")

    def test_every_wrong_cell_of_an_import_is_named(self, run, tmp_path, registry):
        path = tmp_path / "x.csv"
        line = DEVICE_CSV.encode(device("a")).decode()
        lines = [line.replace("a,", f"a{number},", 1).replace(",t,", ",,", 1) for number in range(8)]
        path.write_bytes(DEVICE_CSV.header + "".join(lines).encode())
        ended = run("device", "import", str(path))
        assert ended.exit_code == 1
        assert "; and 3 more" in ended.stderr.splitlines()[0]
        assert [each.split(" must")[0] for each in ended.stderr.splitlines()[1:]] == [
            f"line {number}, column type" for number in range(2, 10)
        ]
        assert len(registry.devices.list()) == 5


def test_a_token_comes_from_the_environment(start, tmp_path):
    from devicesvc import tokens

    secret = tokens.create(tmp_path / "tokens.txt", "reader", "read")
    url = start(env={"DEVICESVC_TOKENS_FILE": "tokens.txt"}).url
    command = [BIN / "devicesvc", "device", "list", "--url", url]
    without = subprocess.run(command, capture_output=True, text=True)
    assert without.returncode == 1
    assert without.stderr.startswith("Error: No token was sent")
    given = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"DEVICESVC_TOKEN": secret})
    assert (given.returncode, len(json.loads(given.stdout))) == (0, 5)


def test_it_starts_without_what_only_a_service_needs(service_url):
    code = (
        "import sys; from devicesvc.cli import main; main(standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "device", "list", "--table", "--url", service_url]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ended.stderr.split()}
    assert "requests" in loaded
    assert not loaded & {"alembic", "flask", "gunicorn", "marshmallow", "psycopg", "pymysql", "sqlalchemy", "wcwidth"}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_commands_and_options(shell):
    script = subprocess.run(
        [BIN / "devicesvc"], capture_output=True, text=True, env=os.environ | {"_DEVICESVC_COMPLETE": f"{shell}_source"}
    )
    assert "_devicesvc_completion" in script.stdout
    words = {"COMP_WORDS": "devicesvc device list --sta", "COMP_CWORD": "3", "_DEVICESVC_COMPLETE": f"{shell}_complete"}
    offered = subprocess.run([BIN / "devicesvc"], capture_output=True, text=True, env=os.environ | words)
    assert "--status" in offered.stdout


def test_a_service_that_cannot_read_what_is_new_is_warned_of(start, tmp_path, clean_env):
    service = start()
    (tmp_path / "device.csv").write_text("broken\n")
    command = [BIN / "devicesvc", "device", "list", "--url", service.url]
    ended = subprocess.run(command, env=clean_env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert re.fullmatch(
        r"Warning: the service has read nothing new since .* GMT; its /readyz says why\.\n", ended.stderr
    )
