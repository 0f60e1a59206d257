"""The CSV form of devices, of groups and of memberships."""

import csv
import io

import pytest

from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.csv_codec.formats import GROUP_CSV, MEMBERSHIP_CSV
from devicesvc.errors import Invalid
from devicesvc.model import Group
from devicesvc.sample import DEVICES
from tests.hard_data import HARD, IN_GBK, device

HEADER, encode, read = FORMAT.header, FORMAT.encode, FORMAT.read
GOOD = HEADER + b"".join(map(encode, DEVICES))


NOT_UTF_8 = "is not UTF-8: save the file in UTF-8; in Excel, choose the file type CSV UTF-8, not CSV"


def by_id(devices):
    return {each.id: each for each in devices}


def row(**changes):
    """A line of the file with changed cells."""
    cells = {
        "id": "1",
        "name": "n",
        "type": "t",
        "hardware_model": "m",
        "hardware_sn": "s",
        "software_version": "v",
        "software_last_update": "2024-01-01 00:00:00",
        "nic_type": "eth",
        "nic_mac": "00:00:00:00:00:01",
        "nic_ipv4": "1.2.3.4",
        "status": "x",
    } | changes
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells.get(column, "") for column in FORMAT.columns)
    return line.getvalue().encode()


def file(*rows):
    return HEADER + b"".join(rows)


def decode(data):
    parsed = read(io.BytesIO(data), {})
    assert parsed.faults == []
    assert all(record.line == encode(record.item) for record in parsed.records.values())
    return {id: record.item for id, record in parsed.records.items()}


def faults(data):
    """The rule that is broken, by the place of the fault."""
    found = read(io.BytesIO(data), {}).faults
    assert found
    return {fault.place: fault.rule for fault in found}


def test_the_header_is_the_one_of_the_design():
    assert HEADER == (
        b"id,name,type,hardware_model,hardware_sn,software_version,software_last_update,nic_type,nic_mac,nic_ipv4,status\n"
    )


def test_a_device_is_a_line_with_its_nics_joined_by_semicolons():
    assert encode(DEVICES[0]).decode() == (
        "4322159209,classroom-controller,controller,Raspberry Pi 4,Qm3vK,0.3,2023-05-12 09:30:00,"
        "eth;wifi,dc:a6:32:1f:04:9b;dc:a6:32:1f:04:9c,192.168.1.10;192.168.1.11,online\n"
    )


def test_what_is_written_is_read_back_in_the_same_order():
    assert list(decode(GOOD).values()) == list(DEVICES)


@pytest.mark.parametrize("case", HARD)
def test_hard_data_is_read_back(case):
    assert decode(file(encode(HARD[case]))) == by_id([HARD[case]])


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"\n", b"\n\n"),
        b"\n" + GOOD,
    ],
    ids=["byte order mark", "CRLF", "empty lines", "an empty first line"],
)
def test_what_editors_do_is_accepted(data):
    assert decode(data) == by_id(DEVICES)


def test_columns_may_come_in_another_order():
    rows = [line[::-1] for line in csv.reader(io.StringIO(GOOD.decode()))]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    assert decode(text.getvalue().encode()) == by_id(DEVICES)


def test_a_byte_order_mark_that_a_value_begins_with_is_a_part_of_it():
    """It is dropped at the start of a file only, where editors put it, and the name of a column is there."""
    marked = device(status="\ufeffs")
    lines = [b",".join(reversed(line.split(b","))) for line in (HEADER[:-1], encode(marked)[:-1])]
    assert decode(b"\n".join([*lines, b""])) == by_id([marked])


def test_a_header_alone_is_a_file_without_devices():
    assert decode(HEADER) == {}


@pytest.mark.parametrize(
    ("data", "place", "rule"),
    [
        (b"", "line 1", "the file is empty"),
        (b"id,name\n", "line 1", "must be the header id,name,type,"),
        (HEADER.replace(b",status", b""), "line 1", "(missing: status; unknown: none)"),
        (HEADER.replace(b",status", b",status,owner"), "line 1", "(missing: none; unknown: owner)"),
        (GOOD.replace(b",status", b",state", 1), "line 1", "must be the header"),
        (GOOD.replace(b",status", b",status,status", 1), "line 1", "must be the header"),
        (
            HEADER.replace(b",name,", b",,"),
            "line 1, column 2",
            "has no name in the header; missing: name",
        ),
        (
            HEADER.replace(b",status", b",status,"),
            "line 1, column 12",
            "has no name in the header; delete the column if it is empty",
        ),
        (
            HEADER.replace(b",status", b",,,"),
            "line 1, column 11",
            "has no name in the header (2 more columns have none); missing: status",
        ),
        (GOOD[:-1], "line 6", "must end with a newline"),
        (file(row(), b"2,n\n"), "line 3", f"must have {len(FORMAT.columns)} cells, as the header has, not 2"),
        (
            b"SQLite format 3\0\x10\0\x01\x01\0@  \xff\n",
            "line 1",
            "is that of an SQLite file: put sqlite:/// before its path",
        ),
        (
            FORMAT.header.replace(b",", b";"),
            "line 1",
            "has its cells separated by ';': save the file with ',' between them",
        ),
        (IN_GBK, "line 2", NOT_UTF_8),
        ("\n".join(["id,名称", ""]).encode("gbk"), "line 1", NOT_UTF_8),
        (file(row(), b'"2\n'), "line 3", "is not CSV: a quote is not closed"),
        (file(row(), b'"2"x,n\n'), "line 3", "is not CSV"),
        (file(row(), row(id="2"), row()), "line 4, column id", "must be unique; '1' is on line 2 too"),
        (file(row(), b"\xef\xbb\xbf" + row(id="2")), "line 3, column id", "must be 1 to 64 letters"),
        (file(row(id="1.2E+15")), "line 2, column id", "must be 1 to 64 letters"),
        (file(row(name="")), "line 2, column name", "must be 1 to 64 characters"),
        (file(row(name="a\nb")), "line 2", "a quote is not closed, and no cell may hold a line break"),
        (file(row(name="a\rb")), "line 2, column name", "must be 1 to 64 characters"),
        (file(row(name="a\0b")), "line 2, column name", "must be 1 to 64 characters"),
        (file(row(software_last_update="2023/8/6 20:00")), "line 2, column software_last_update", "a real date"),
        (file(row(nic_mac="")), "line 2, column nic_type", "not 1, 0 and 1"),
        (file(row(nic_type="a;b")), "line 2, column nic_type", "not 2, 1 and 1"),
        (file(row(nic_type="a;;b", nic_mac=";;", nic_ipv4=";;")), "line 2, column nic_mac", "six pairs"),
    ],
)
def test_a_fault_is_named_by_line_and_column_and_rule(data, place, rule):
    assert rule in faults(data)[place]


def test_a_row_with_too_many_nics_is_refused():
    many = {"nic_type": ["e"] * 17, "nic_mac": ["00:00:00:00:00:01"] * 17, "nic_ipv4": ["1.1.1.1"] * 17}
    refusal = faults(file(row(**{column: ";".join(items) for column, items in many.items()})))
    assert "at most 16" in str(refusal)


def test_an_id_with_an_e_would_be_fine_but_not_a_plus_as_spreadsheets_write_it():
    assert decode(file(row(id="1E15"))) == {"1E15": decode(file(row()))["1"].merge({"id": "1E15"})}


def test_every_bad_row_is_named():
    found = faults(file(*(row(id=f"bad id {number}") for number in range(25)), row()))
    assert list(found) == [f"line {number}, column id" for number in range(2, 27)]


def test_each_bad_cell_of_a_row_is_named():
    assert set(faults(file(row(id="", name="", nic_ipv4="x")))) == {
        "line 2, column id",
        "line 2, column name",
        "line 2, column nic_ipv4",
    }


@pytest.mark.parametrize("text", ["x\r", "\r", 'a"\nb', "a\nb"])
def test_a_line_that_would_not_read_back_the_same_is_not_written(text):
    """The rules let no such text through; should one ever do, the file stays whole."""
    forged = device()
    object.__setattr__(forged, FORMAT.columns[-1], text)
    with pytest.raises(Invalid):
        encode(forged)


def test_order_in_the_file_is_the_order_given():
    given = [device("b"), device("a"), device("C")]
    assert list(decode(file(*map(encode, given)))) == ["b", "a", "C"]


GROUPS = [Group("a", "alpha"), Group("b", "be,ta")]


class TestColumnsThatAreMissing:
    """A file of an older version lacks a column that has a default: the description of a group is such a column."""

    @pytest.mark.parametrize(
        "data",
        [
            b'id,name\na,alpha\nb,"be,ta"\n',
            b'name,id\nalpha,a\n"be,ta",b\n',
            b'\xef\xbb\xbfname,id\r\n\r\nalpha,a\r\n"be,ta",b\r\n',
        ],
        ids=["in order", "in another order", "as an editor saves it"],
    )
    def test_a_column_with_a_default_may_be_missing_and_is_written_again(self, data):
        parsed = GROUP_CSV.read(io.BytesIO(data), {})
        assert parsed.faults == []
        assert [record.item for record in parsed.records.values()] == GROUPS
        assert [record.line for record in parsed.records.values()] == [b"a,alpha,\n", b'b,"be,ta",\n']

    def test_a_known_line_is_read_again_if_a_column_is_missing_now(self):
        """The same line says something else below another header."""
        known = {b"a,alpha,\n": Group("a", "alpha")}
        parsed = GROUP_CSV.read(io.BytesIO(b"id,name\na,alpha,\nb,beta\n"), known)
        assert list(map(str, parsed.faults)) == ["line 2 must have 2 cells, as the header has, not 3"]
        assert [record.item for record in parsed.records.values()] == [Group("b", "beta")]

    @pytest.mark.parametrize(
        ("form", "header", "words"),
        [
            (GROUP_CSV, "id,description", "(missing: name; unknown: none)"),
            (GROUP_CSV, "name", "(missing: id; unknown: none)"),
            (GROUP_CSV, "id,name,owner", "(missing: none; unknown: owner)"),
            (GROUP_CSV, "owner,name", "(missing: id; unknown: owner)"),
            (GROUP_CSV, "id,name,id", "(missing: none; unknown: none)"),
            (MEMBERSHIP_CSV, "device_id", "(missing: group_id; unknown: none)"),
            *(
                (FORMAT, HEADER.decode().strip().replace(f"{each},", ""), f"(missing: {each}; ")
                for each in ("name", "nic_type")
            ),
        ],
    )
    def test_without_any_other_column_and_with_an_unknown_one_it_is_refused(self, form, header, words):
        parsed = form.read(io.BytesIO(f"{header}\n".encode()), {})
        assert parsed.records == {}
        assert len(parsed.faults) == 1
        assert str(parsed.faults[0]).startswith(f"line 1 must be the header {','.join(form.columns)} (missing: ")
        assert words in str(parsed.faults[0])

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            (b"a,alpha,more\n", "line 2 must have 2 cells, as the header has, not 3"),
            (b"a\n", "line 2 must have 2 cells, as the header has, not 1"),
            (b"a,\n", "line 2, column name: must be 1 to 64 characters"),
        ],
    )
    def test_a_row_below_such_a_header_is_judged_by_it(self, row, words):
        (fault,) = GROUP_CSV.read(io.BytesIO(b"id,name\n" + row), {}).faults
        assert str(fault).startswith(words)


class TestLine:
    """A line of the history."""

    def test_one_of_an_older_version_that_had_fewer_columns_is_read_with_the_defaults(self):
        assert GROUP_CSV.from_line("a,alpha") == Group("a", "alpha", "")

    @pytest.mark.parametrize("line", ["", "a", "a,alpha,the first,more", 'a,"alpha'])
    def test_one_that_is_no_item_is_refused(self, line):
        with pytest.raises(Invalid):
            GROUP_CSV.from_line(line)
