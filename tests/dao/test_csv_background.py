"""Work that many wait for, but not for long."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devicesvc.dao.csv.background import Background
from tests.worker.conftest import until


class Work:
    """Counts its runs, and waits in each of them until it may begin and until it may end."""

    def __init__(self):
        self.runs = 0
        self.may_begin, self.may_end, self.is_there = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, begin):
        self.runs += 1
        self.is_there.set()
        assert self.may_begin.wait(10)
        begin()
        assert self.may_end.wait(10)


def test_who_comes_while_it_is_done_shares_the_run():
    work = Work()
    background = Background(work)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(background.wait, 20, 20) for _ in range(4)]
        assert work.is_there.wait(10)
        work.may_begin.set()
        until(lambda: background._run and len(background._run.done._waiters) == 4, "all wait for the same run")
        work.may_end.set()
        assert [each.result() for each in waiting] == [True] * 4
    assert work.runs == 1
    assert background.wait(20, 20)
    assert work.runs == 2


def test_the_patience_counts_from_when_it_has_begun():
    work = Work()
    background = Background(work)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(background.wait, 20, 0.02)
        assert work.is_there.wait(10)
        with pytest.raises(TimeoutError):
            waiting.result(0.2)
        work.may_begin.set()
        assert waiting.result(10) is False
        work.may_end.set()
    assert background.wait(20, 20)


def test_a_fault_comes_to_who_waits_also_before_it_has_begun_and_the_next_run_heals():
    faults = [ZeroDivisionError()]

    def work(begin):
        if faults:
            raise faults.pop()
        begin()

    background = Background(work)
    with pytest.raises(ZeroDivisionError):
        background.wait(20, 20)
    assert background.wait(20, 20)


def test_a_thread_that_cannot_be_started_is_not_waited_for_and_the_next_run_heals(monkeypatch):
    background = Background(lambda begin: begin())

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            background.wait(20, 20)
    assert background.wait(20, 20)


def test_work_that_does_not_begin_in_time_is_not_waited_for():
    work = Work()
    background = Background(work)
    assert background.wait(0.02, 20) is False
    assert background.wait(0.02, 20) is False
    work.may_begin.set()
    work.may_end.set()
    assert background.wait(20, 20)
    assert work.runs == 1
