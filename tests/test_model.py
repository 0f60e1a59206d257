"""Each field's rule, at its edges."""

import re
from datetime import date

import pytest

from devicesvc import model
from devicesvc.errors import Invalid
from devicesvc.model import MAX_NICS, Device, DeviceFilter, Hardware, Nic, Software
from tests.hard_data import HARD, NIC, PLAIN, device

TEXT = {
    "name": (Device, 64),
    "type": (Device, 32),
    "status": (Device, 32),
    "model": (Hardware, 64),
    "sn": (Hardware, 64),
    "version": (Software, 32),
}


@pytest.mark.parametrize(("name", "of", "limit"), [(name, of, limit) for name, (of, limit) in TEXT.items()])
class TestText:
    def test_takes_one_character_and_as_many_as_its_limit(self, name, of, limit):
        assert of.RULES[name]("x") == "x"
        assert of.RULES[name]("设" * limit) == "设" * limit

    @pytest.mark.parametrize("bad", ["", "a\nb", "a\rb", "\t", "\x00", "\x7f", "\x85", "\ud800", None, 5, ["x"]])
    def test_refuses_what_is_empty_or_not_plain_text(self, name, of, limit, bad):
        with pytest.raises(ValueError, match=f"must be 1 to {limit} "):
            of.RULES[name](bad)

    def test_refuses_one_character_too_many(self, name, of, limit):
        with pytest.raises(ValueError, match=f"1 to {limit} characters"):
            of.RULES[name]("x" * (limit + 1))

    def test_keeps_spaces_as_they_are(self, name, of, limit):
        assert of.RULES[name](" x ") == " x "
        assert of.RULES[name](" " * limit) == " " * limit


def test_the_kind_of_a_nic_has_no_semicolon_which_separates_items_in_the_file():
    assert Nic.RULES["type"]("x" * 32) == "x" * 32
    for bad in ("a;b", "x" * 33, ""):
        with pytest.raises(ValueError, match="no ';'"):
            Nic.RULES["type"](bad)


@pytest.mark.parametrize("good", ["a", "9", "A.b_c-9", "batches", "Import", "x" * 64])
def test_an_id_may_be(good):
    assert Device.RULES["id"](good) == good


@pytest.mark.parametrize("bad", ["", "batch", "import", ".a", "-a", "_a", "a b", "a/b", "a\n", "é", "x" * 65, 5])
def test_an_id_may_not_be(bad):
    with pytest.raises(ValueError, match="1 to 64 letters"):
        Device.RULES["id"](bad)


@pytest.mark.parametrize("good", ["2023-08-06 20:00:00", "2024-02-29 00:00:00", "0001-01-01 00:00:00"])
def test_a_time_is_kept_as_written(good):
    assert Software.RULES["last_update"](good) == good


@pytest.mark.parametrize("year", [0, 1, 4, 100, 400, 1900, 1999, 2000, 2004, 2010, 2012, 2023, 2024, 2100, 9996, 9999])
def test_the_pattern_alone_tells_the_real_dates_of_a_year(year):
    fits = re.compile(Software.RULES["last_update"].pattern).fullmatch
    tried = [f"{year:04}-{month:02}-{day:02}" for month in range(20) for day in range(40)]
    assert [each for each in tried if fits(f"{each} 00:00:00")] == [each for each in tried if _is_real(each)]


def _is_real(text):
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "bad",
    [
        "2023-02-29 00:00:00",
        "2023-13-01 00:00:00",
        "2023-08-06 24:00:00",
        "2023-08-06 20:60:00",
        "2023-08-06T20:00:00",
        "2023-08-06 20:00:00Z",
        "2023-8-6 20:00:00",
        "0000-01-01 00:00:00",
        "２０２３-08-06 20:00:00",
        "2023-08-06",
        "",
    ],
)
def test_a_time_must_be_real_and_in_the_one_form(bad):
    with pytest.raises(ValueError, match="a real date and time"):
        Software.RULES["last_update"](bad)


def test_a_mac_is_kept_in_lower_case_with_colons():
    assert Nic("eth", "AA-BB-CC-00-11-2F", "1.2.3.4").mac == "aa:bb:cc:00:11:2f"


@pytest.mark.parametrize("bad", ["", "aa:bb:cc:00:11", "aabbcc00112f", "aa:bb:cc:00:11:2g", "aa:bb:cc:00:11:2f "])
def test_a_mac_must_be_six_pairs(bad):
    with pytest.raises(ValueError, match="six pairs"):
        Nic.RULES["mac"](bad)


@pytest.mark.parametrize("good", ["0.0.0.0", "255.255.255.255", "192.168.1.2", "10.0.0.99"])
def test_an_address_may_be(good):
    assert Nic.RULES["ipv4"](good) == good


@pytest.mark.parametrize("bad", ["", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "1.2.3.٤", "::1", "1.2.3.4\n"])
def test_an_address_may_not_be(bad):
    with pytest.raises(ValueError, match="four numbers"):
        Nic.RULES["ipv4"](bad)


def test_a_device_names_every_field_at_fault():
    with pytest.raises(Invalid) as refusal:
        device(id="a b", name="", status="x" * 33)
    assert refusal.value.errors.keys() == {"id", "name", "status"}
    assert str(refusal.value).startswith("id must be 1 to 64 letters")


def test_a_refusal_shows_only_the_beginning_of_a_long_value():
    with pytest.raises(ValueError, match=r"not 'xxxx+\.\.\.") as refusal:
        Device.RULES["name"]("x" * 10_000)
    assert len(str(refusal.value)) < 150


def test_a_device_has_at_most_sixteen_nics():
    assert len(device(nic=(NIC,) * MAX_NICS).nic) == 16
    with pytest.raises(Invalid, match="nic must be at most 16"):
        device(nic=(NIC,) * 17)


def test_half_of_a_nested_object_keeps_its_other_half():
    changed = PLAIN.merge({"name": "new", "hardware": {"sn": "other"}, "software": {"version": "9"}})
    assert (changed.name, changed.hardware.sn, changed.software.version) == ("new", "other", "9")
    assert changed.hardware.model == PLAIN.hardware.model
    assert changed.software.last_update == PLAIN.software.last_update
    assert (changed.id, changed.nic, changed.status) == (PLAIN.id, PLAIN.nic, PLAIN.status)


def test_a_new_list_of_nics_replaces_the_old_one():
    assert PLAIN.merge({"nic": []}).nic == ()


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"id": PLAIN.id, "sn": PLAIN.hardware.sn, "name": PLAIN.name}, True),
        ({"id": "other"}, False),
        ({"sn": PLAIN.hardware.sn.lower()}, False),
        ({"model": "RASPBERRY"}, True),
        ({"model": "pi 4"}, True),
        ({"model": "pi 5"}, False),
        ({"type": PLAIN.type, "status": PLAIN.status}, True),
        ({"status": "offline"}, False),
        ({"mac": PLAIN.nic[1].mac.upper().replace(":", "-")}, True),
        ({"mac": "aa"}, False),
        ({"ipv4": PLAIN.nic[1].ipv4}, True),
        ({"ipv4": "1.1.1.1"}, False),
    ],
)
def test_a_filter_fits_when_each_of_its_parts_does(wanted, fits):
    assert DeviceFilter(**wanted).matches(PLAIN) is fits


def test_a_model_is_found_in_any_case_of_any_script():
    assert DeviceFilter(model="STRASSE").matches(device(hardware_model="die Straße"))
    assert DeviceFilter(model="ΣΊΓΜΑ").matches(device(hardware_model="σίγμα"))


@pytest.mark.parametrize("case", HARD)
def test_hard_data_is_valid(case):
    assert isinstance(HARD[case], Device)


def test_what_is_looked_for_is_folded_once_and_not_for_each_device(monkeypatch):
    where = DeviceFilter(model="Raspberry PI", mac=NIC.mac.replace(":", "-").upper())
    folded = []

    def fold(text):
        folded.append(text)
        return text.casefold()

    monkeypatch.setattr(model, "fold", fold)
    monkeypatch.setattr(model, "plain_mac", fold)
    assert where.matches(PLAIN.merge({"nic": [{"type": "eth", "mac": NIC.mac, "ipv4": NIC.ipv4}]}))
    assert set(folded) == {PLAIN.hardware.model}
