"""The names of backups, and which of them a rule keeps."""

from datetime import UTC, datetime, timedelta

import pytest

from devicesvc.backups import NAME, find, kept, parse_rule, time_of
from devicesvc.errors import Invalid

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday


def days(*ago, hours=0):
    """The noons so many days ago."""
    return {NOON - timedelta(days=each, hours=hours) for each in ago}


def test_the_name_of_a_backup_is_its_time():
    assert time_of("devicesvc-2026-11-26T12-00-00Z") == NOON
    assert NOON.strftime(NAME) == "devicesvc-2026-11-26T12-00-00Z"


@pytest.mark.parametrize(
    "name",
    [
        "devicesvc-2026-11-26T12-00-00Z.unreadable",
        "devicesvc-2026-11-26T12-00-00Z.tmp",
        ".devicesvc-2026-11-26T12-00-00Z",
        "my-devicesvc-2026-11-26T12-00-00Z",
        "devicesvc-2026-11-26T12-00-00",
        "devicesvc-2026-11-26",
        "devicesvc-2026-1-26T12-00-00Z",
        "devicesvc-2026-02-30T12-00-00Z",
        "devicesvc-2026-11-26T12-00-00z",
        "Devicesvc-2026-11-26T12-00-00Z",
        "devicesvc-２026-11-26T12-00-00Z",
    ],
)
def test_nothing_with_another_name_is_a_backup(name):
    assert time_of(name) is None


def test_only_folders_are_backups_and_the_oldest_comes_first(tmp_path):
    for name in ("devicesvc-2026-11-26T12-00-00Z", "devicesvc-2026-11-25T12-00-00Z", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "devicesvc-2026-11-24T12-00-00Z").write_text("a file")
    (tmp_path / "devicesvc-2026-11-23T12-00-00Z").symlink_to("other")
    assert find(tmp_path) == sorted(days(0, 1))


@pytest.mark.parametrize("text", ["", "7", "d", "7x", "0d", "7d,", "7d,3d", "7d 4w", "-1d", "7D", "99999d", "７d"])
def test_a_rule_that_cannot_be_read_is_refused_in_one_sentence(text):
    with pytest.raises(Invalid, match="keep must name numbers of days, weeks and months, each once, such as 7d,4w,12m"):
        parse_rule(text)


def test_the_newest_of_each_day_stays():
    made = days(*range(10)) | days(*range(10), hours=3)
    assert kept(made, parse_rule("7d")) == days(*range(7))


def test_the_newest_of_each_week_stays_and_weeks_begin_on_monday():
    assert kept(days(*range(30)), parse_rule("3w")) == days(0, 4, 11)


def test_the_newest_of_each_month_stays_also_across_years():
    chosen = kept(days(*range(800)), parse_rule("13m"))
    assert len(chosen) == 13
    assert sorted(chosen)[0] == datetime(2025, 11, 30, 12, tzinfo=UTC)
    assert {(time + timedelta(days=1)).day for time in chosen - days(0)} == {1}


def test_weeks_that_span_two_years_are_one():
    made = {datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)}
    assert kept(made, parse_rule("2w")) == {datetime(2027, 1, 1, tzinfo=UTC)}


def test_what_one_part_of_a_rule_keeps_stays():
    assert kept(days(*range(100)), parse_rule("12m,2d,2w")) == days(0, 1, 4, 26, 57, 87)


def test_periods_without_a_backup_do_not_count_so_a_long_pause_deletes_nothing():
    assert kept(days(0, 400, 401, 402), parse_rule("4d")) == days(0, 400, 401, 402)


def test_after_years_of_days_so_many_are_left_as_the_rule_says():
    rule, left = parse_rule("7d,4w,12m"), set[datetime]()
    for day in range(3 * 365):
        left = kept(left | days(-day), rule)
    assert 12 <= len(left) <= 7 + 4 + 12
    assert min(left) > max(left) - timedelta(days=366)
