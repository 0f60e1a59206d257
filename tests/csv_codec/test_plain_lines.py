"""The fast way to check lines agrees with the slow one, which is the format's."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devicesvc.csv_codec import format as format_module
from devicesvc.csv_codec.format import Record
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.csv_codec.plain_lines import plain_devices
from devicesvc.model import Device, Group, Hardware, Membership, Nic, Software
from devicesvc.sample import DEVICES
from devicesvc.transfer.plain_rows import plain
from devicesvc.transfer.source import DeviceRows
from tests.hard_data import HARD, device
from tests.strategies import devices


def slow(data):
    """What the format makes of lines one by one; None if it finds a fault."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FORMAT, "plain", lambda _lines: {})
        parsed = FORMAT.read(io.BytesIO(FORMAT.header + data), {})
    return None if parsed.faults else list(parsed.records.values())


def agrees(data):
    """The fast ways, to rows and to devices, take lines only if the slow one makes the same of them. Returns whether
    the one to rows took them."""
    for raw, found in plain_devices(io.BytesIO(data)).items():
        assert slow(raw) == [Record(found, raw)]
    rows = plain(data)
    if rows is not None:
        records = slow(data)
        assert records is not None
        assert rows == DeviceRows.of(record.item for record in records)
    return rows is not None


def line(**changes):
    cells = dict(zip(FORMAT.columns, FORMAT.encode(DEVICES[0]).decode()[:-1].split(","), strict=True)) | changes
    return (",".join(cells.values()) + "\n").encode(errors="surrogatepass")


def test_plain_lines_are_taken_together():
    data = b"".join(map(FORMAT.encode, DEVICES))
    assert plain(data) == DeviceRows.of(DEVICES)
    assert plain_devices(io.BytesIO(data)) == {FORMAT.encode(each): each for each in DEVICES}


def test_one_by_one_is_read_only_what_is_not_plain(monkeypatch):
    others = [device("1", name='a,"b"'), device("3", nic=())]
    known, bad = FORMAT.encode(device("2")), FORMAT.encode(device("bad")).replace(b"2024-02-29", b"2023-02-29")
    upper = line(id="4", nic_mac="AA-BB-CC-DD-EE-FF", nic_type="e", nic_ipv4="1.2.3.4")
    read, real = [], FORMAT._from_cells
    monkeypatch.setattr(FORMAT, "_from_cells", lambda cells: read.append(cells.id) or real(cells))  # type: ignore[func-returns-value]
    lines = [FORMAT.header, FORMAT.encode(others[0]), known, FORMAT.encode(others[1]), bad, upper]
    parsed = FORMAT.read(io.BytesIO(b"".join(lines)), {known: device("2")})
    assert read == ["1", "bad", "4"]
    assert [fault.place for fault in parsed.faults] == ["line 5, column software_last_update"]
    assert list(parsed.records) == ["1", "2", "3", "4"]
    assert [record.item for record in parsed.records.values()][:3] == [others[0], device("2"), others[1]]
    assert parsed.records["4"].item.nic[0].mac == "aa:bb:cc:dd:ee:ff"


def test_lines_are_read_whole_wherever_a_piece_of_the_file_ends(monkeypatch):
    many = [device(str(number), name=f"设{number}" * (number % 9 + 1)) for number in range(50)]
    data = FORMAT.header + b"".join(map(FORMAT.encode, many))
    for size in (1, 7, 100, 1000):
        monkeypatch.setattr(format_module, "CHUNK", size)
        assert [record.item for record in FORMAT.read(io.BytesIO(data), {}).records.values()] == many


def test_equal_texts_are_kept_once():
    found = list(plain_devices([FORMAT.encode(device(id, type="网关")) for id in "12"]).values())
    assert found[0].type is found[1].type


@pytest.mark.parametrize("case", HARD)
def test_hard_data(case):
    encoded = FORMAT.encode(HARD[case])
    assert agrees(encoded) == (b'"' not in encoded)


MACS = ["00:00:00:00:00:01", "0A-bC-00-00-00-0f", "00:00:00:00:00:1", "00:00:00:00:00:0g", "", "00:00:00:00:00:01;"]
CELLS = [
    *(
        "",
        " ",
        "a",
        "x" * 32,
        "x" * 33,
        "x" * 64,
        "x" * 65,
        "设" * 32,
        "设" * 33,
        "📡" * 64,
        "📡" * 65,
        "a,b",
        'a"b"',
        '"a"',
    ),
    *(
        "a\x00",
        "\x1f",
        "\x7f",
        "\x80",
        "\x9f",
        "\xa0",
        "\r",
        "a\r",
        "\n",
        "\v",
        "\f",
        "\x1c",
        "\x85",
        "\u2028",
        "\ud800",
    ),
    *("\udfff", ";", "a;b", ";;", "batch", "import", "batches", "-a", "a.b_c-d", "é", "İ", "ﬃ", "1.2.3.4", "01.2.3.4"),
    *("256.1.1.1", "1.2.3", "1.2.3.4;5.6.7.8", "2023-02-29 00:00:00", "2024-02-29 23:59:59", "2023-08-06 20:00:60"),
    *("0000-01-01 00:00:00", "2023-08-06T20:00:00", "\ufeff", "１２"),
]


@pytest.mark.parametrize("column", FORMAT.columns)
@pytest.mark.parametrize("cell", [*CELLS, *MACS], ids=ascii)
def test_a_cell(column, cell):
    data = line(**{column: cell})
    assert agrees(data) or slow(data) is None or b'"' in data or b"\r\n" in data or b"\n\n" in data


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17])
def test_so_many_nics(count):
    cells = {"nic_type": "eth", "nic_mac": "00-00-00-00-00-AB", "nic_ipv4": "1.2.3.4"}
    data = line(**{column: ";".join([cell] * count) for column, cell in cells.items()})
    assert agrees(data) == (count <= 16)
    if 0 < count <= 16:
        rows = plain(data)
        assert rows is not None
        assert rows.nics[-1] == (DEVICES[0].id, count - 1, "eth", "00:00:00:00:00:ab", "1.2.3.4")


@pytest.mark.parametrize("types", range(4))
@pytest.mark.parametrize("macs", range(4))
@pytest.mark.parametrize("addresses", range(4))
def test_nic_cells_of_unequal_length(types, macs, addresses):
    cells = ["e"] * types, ["00:00:00:00:00:01"] * macs, ["1.1.1.1"] * addresses
    columns = zip(("nic_type", "nic_mac", "nic_ipv4"), map(";".join, cells), strict=True)
    assert agrees(line(**dict(columns))) == (types == macs == addresses)


@pytest.mark.parametrize(
    "data",
    [
        line()[:-1],
        line() + b"cut",
        line() + line()[:-1],
        line() + b"\n",
        b"\n",
        line().replace(b"\n", b"\r\n"),
        line() + b"a,b\n" + line() + b"," * 19 + b"\n",
        line().replace(b",", b",,", 1) + line().replace(b",", b"", 1),
        line() + b"\xff" + line(),
        b"\xef\xbb\xbf" + line(),
    ],
)
def test_lines_that_are_not_plain(data):
    assert not agrees(data)


@settings(max_examples=200, deadline=None)
@given(devices)
def test_any_device(device):
    encoded = FORMAT.encode(device)
    assert agrees(encoded) or b'"' in encoded


HOSTILE = st.text(st.sampled_from('a0,;:-. \n\r\t\0\x7f\x85\xa0\u2028"ﬃA設📡\ufeff'), max_size=40)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(FORMAT.columns), st.one_of(HOSTILE, st.sampled_from(CELLS + MACS)), max_size=3))
def test_any_cells(changes):
    agrees(
        line() + line(id="other", **{k: v for k, v in changes.items() if k != "id"}) + line(**{"id": "3", **changes})
    )


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3))
def test_any_damage(at, piece, length):
    data = b"".join(map(FORMAT.encode, DEVICES))
    agrees(data[:at] + piece + data[at + length :])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=4))
def test_macs_may_be_normalized_together(macs):
    """The fast way normalizes all the addresses of its lines at once."""
    macs = [each.replace("\n", "") for each in macs]
    normalize = Nic.RULES["mac"].normalize
    assert normalize is not None
    assert normalize("\n".join(macs)) == "\n".join(map(normalize, macs))


def test_no_other_rule_normalizes_anything():
    """It would have to be done in the fast way too."""
    kinds = Device, Hardware, Software, Nic, Group, Membership
    normalizing = {(kind, name) for kind in kinds for name, rule in kind.RULES.items() if rule.normalize}
    assert normalizing == {(Nic, "mac")}


def test_a_model_is_folded_as_the_store_does():
    encoded = FORMAT.encode(device(hardware_model="GROẞ ﬃ İ"))
    assert plain(encoded) == DeviceRows.of([device(hardware_model="GROẞ ﬃ İ")])
