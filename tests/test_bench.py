"""The benchmarks: what they count, judge and write."""

from benchmarks.calls import compare


def test_as_many_calls_as_before_are_no_fault():
    assert compare({"GET": 1_050, "PUT": 950}, {"GET": 1_000, "PUT": 1_000}) == []


def test_a_request_that_makes_more_calls_than_before_is_named():
    [fault] = compare({"GET": 1_051, "PUT": 10}, {"GET": 1_000, "PUT": 10})
    assert fault.startswith("GET makes 1,051 calls, and before it made 1,000.")


def test_a_request_that_makes_fewer_calls_must_be_written_down():
    [fault] = compare({"GET": 949}, {"GET": 1_000})
    assert fault.startswith("GET makes only 949 calls")
    assert "make calls LOCKED=1 PYTHON=python3.13 ARGS=--write" in fault


def test_a_request_that_was_never_counted_must_be_written_down():
    [fault] = compare({"HEAD": 7}, {"GET": 1_000})
    assert fault.startswith("HEAD makes 7 calls, and no number is written down")
