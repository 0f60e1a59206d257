"""The thread that commits together all changes that wait."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devicesvc.dao.group_commit import GroupCommit
from devicesvc.errors import Conflict, StoreUnavailable


@pytest.fixture
def batches():
    return []


@pytest.fixture
def gate():
    """Open: commits go on."""
    gate = threading.Event()
    gate.set()
    return gate


@pytest.fixture
def group_commit(batches, gate):
    def commit(batch):
        batches.append([change for change, _ in batch])
        assert gate.wait(60)
        for change, outcome in batch:
            if change == "refused":
                outcome.set_exception(Conflict("no"))
            elif change == "defect":
                raise ZeroDivisionError
            else:
                outcome.set_result(f"did {change}")

    group_commit = GroupCommit(commit)
    yield group_commit
    group_commit.close()


def test_a_change_gets_its_own_outcome(group_commit):
    assert group_commit.run("this") == "did this"
    with pytest.raises(Conflict, match="no"):
        group_commit.run("refused")


def test_all_that_wait_during_a_commit_share_the_next_one(group_commit, batches, gate):
    gate.clear()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(group_commit.run, 0)
        while not batches:  # until the first commit has begun
            threading.Event().wait(0.001)
        rest = [pool.submit(group_commit.run, number) for number in range(1, 9)]
        while group_commit._queue.qsize() < 8:
            threading.Event().wait(0.001)
        gate.set()
        assert [first.result(), *(each.result() for each in rest)] == [f"did {number}" for number in range(9)]
    assert [sorted(batch) for batch in batches] == [[0], [1, 2, 3, 4, 5, 6, 7, 8]]


def test_a_defect_in_a_commit_reaches_the_caller_and_the_next_change_works(group_commit):
    with pytest.raises(ZeroDivisionError):
        group_commit.run("defect")
    assert group_commit.run("this") == "did this"


def test_it_is_not_a_thread_until_the_first_change_so_that_a_worker_may_fork_before(batches):
    before = threading.active_count()
    group_commit = GroupCommit(batches.append)
    assert threading.active_count() == before
    group_commit.close()


def test_closing_commits_what_waits_and_refuses_what_comes_later(group_commit, batches, gate):
    gate.clear()
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(group_commit.run, 0)]
        while not batches:
            threading.Event().wait(0.001)
        running.append(pool.submit(group_commit.run, 1))
        while group_commit._queue.qsize() < 1:
            threading.Event().wait(0.001)
        closing = pool.submit(group_commit.close)
        gate.set()
        assert [each.result() for each in running] == ["did 0", "did 1"]
        closing.result()
    with pytest.raises(StoreUnavailable, match="closed"):
        group_commit.run(2)


def test_a_change_whose_turn_does_not_come_is_given_up_and_never_made(group_commit, batches, gate, monkeypatch):
    gate.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(group_commit.run, "first")
        while not batches:  # until its commit has begun: then it is waited for
            threading.Event().wait(0.001)
        with monkeypatch.context() as hasty:
            hasty.setattr(group_commit, "_patience", 0.05)
            with pytest.raises(StoreUnavailable, match=r"busy: other changes take long\. Nothing was changed\."):
                group_commit.run("second")
        gate.set()
        assert first.result() == "did first"
    assert group_commit.run("third") == "did third"
    assert batches == [["first"], ["third"]]


def test_a_thread_that_cannot_be_started_fails_one_change_and_no_more(group_commit, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            group_commit.run("first")
    assert group_commit.run("second") == "did second"
