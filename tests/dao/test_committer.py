"""The thread that commits together all ops that wait."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devicesvc.dao.committer import Committer
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
def committer(batches, gate):
    def commit(batch):
        batches.append([op for op, _ in batch])
        assert gate.wait(10)
        for op, outcome in batch:
            if op == "refused":
                outcome.set_exception(Conflict("no"))
            elif op == "defect":
                raise ZeroDivisionError
            else:
                outcome.set_result(f"did {op}")

    committer = Committer(commit)
    yield committer
    committer.close()


def test_an_op_gets_its_own_outcome(committer):
    assert committer.run("this") == "did this"
    with pytest.raises(Conflict, match="no"):
        committer.run("refused")


def test_all_that_wait_during_a_commit_share_the_next_one(committer, batches, gate):
    gate.clear()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(committer.run, 0)
        while not batches:  # until the first commit has begun
            threading.Event().wait(0.001)
        rest = [pool.submit(committer.run, number) for number in range(1, 9)]
        while committer._queue.qsize() < 8:
            threading.Event().wait(0.001)
        gate.set()
        assert [first.result(), *(each.result() for each in rest)] == [f"did {number}" for number in range(9)]
    assert [sorted(batch) for batch in batches] == [[0], [1, 2, 3, 4, 5, 6, 7, 8]]


def test_a_defect_in_a_commit_reaches_the_caller_and_the_next_op_works(committer):
    with pytest.raises(ZeroDivisionError):
        committer.run("defect")
    assert committer.run("this") == "did this"


def test_it_is_no_thread_until_the_first_op_so_that_a_worker_may_fork_before(batches):
    before = threading.active_count()
    committer = Committer(batches.append)
    assert threading.active_count() == before
    committer.close()


def test_closing_commits_what_waits_and_refuses_what_comes_later(committer, batches, gate):
    gate.clear()
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(committer.run, 0)]
        while not batches:
            threading.Event().wait(0.001)
        running.append(pool.submit(committer.run, 1))
        while committer._queue.qsize() < 1:
            threading.Event().wait(0.001)
        closing = pool.submit(committer.close)
        gate.set()
        assert [each.result() for each in running] == ["did 0", "did 1"]
        closing.result()
    with pytest.raises(StoreUnavailable, match="closed"):
        committer.run(2)
