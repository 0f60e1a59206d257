"""Clients that change the same device at once, under load, on a service with two workers."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.hard_data import ADD

ROUNDS, RIVALS = 25, 6


@pytest.fixture
def url(start):
    """The address of a service with two workers, to which others write without pause."""
    service, done = start("--workers", "2"), threading.Event()

    def write():
        while not done.is_set():
            assert requests.post(f"{service.url}/v1/devices", json=ADD).status_code == 201

    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(write) for _ in range(3)]
        yield f"{service.url}/v1/devices/4322159209"
        done.set()
    for each in writing:
        each.result()


def test_of_those_that_change_one_version_exactly_one_wins(url):
    barrier = threading.Barrier(RIVALS)

    def change(name, etag):
        barrier.wait()
        return requests.patch(url, json={"name": name}, headers={"If-Match": etag, "Connection": "close"})

    with ThreadPoolExecutor(RIVALS) as pool:
        for number in range(ROUNDS):
            etag = requests.get(url).headers["ETag"]
            names = [f"{number} by {rival}" for rival in range(RIVALS)]
            answers = list(pool.map(change, names, [etag] * RIVALS))
            statuses = [answer.status_code for answer in answers]
            assert sorted(statuses) == [200] + [412] * (RIVALS - 1)
            assert requests.get(url).json()["data"]["name"] == names[statuses.index(200)]


def test_a_counter_that_all_raise_and_try_again_loses_no_step(url):
    requests.patch(url, json={"name": "0"})

    def raise_it():
        while True:
            got = requests.get(url)
            name = str(int(got.json()["data"]["name"]) + 1)
            answer = requests.patch(url, json={"name": name}, headers={"If-Match": got.headers["ETag"]})
            if answer.status_code == 200:
                return
            assert answer.status_code == 412

    with ThreadPoolExecutor(RIVALS) as pool:
        steps = [pool.submit(raise_it) for _ in range(60)]
    for step in steps:
        step.result()
    assert requests.get(url).json()["data"]["name"] == "60"
