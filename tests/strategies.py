"""Any devices and groups, for Hypothesis: of few ids and names, so that they meet. And which tests take long."""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from devicesvc.model import Device, Group, Hardware, Nic, Software

LONG = "DEVICESVC_TEST_LONG" in os.environ  # make test-long: more and longer walks
only_long = pytest.mark.skipif(not LONG, reason="make test-long runs it")

WALKS = settings(
    max_examples=40 if LONG else 6,
    stateful_step_count=40 if LONG else 20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def text(limit, least=1, without=""):
    characters = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=without)
    return st.text(characters, min_size=least, max_size=limit)


ids = st.sampled_from(["a", "B", "b.1", "1234567890", "x" * 64])
names = st.one_of(st.sampled_from(["shared", "组", 'a,"b"']), text(64))
nics = st.builds(
    Nic,
    type=text(32, without=";"),
    mac=st.from_regex(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}", fullmatch=True),
    ipv4=st.ip_addresses(v=4).map(str),
)
devices = st.builds(
    Device,
    id=ids,
    name=names,
    type=text(32),
    hardware=st.builds(Hardware, model=text(64), sn=names),
    software=st.builds(
        Software, version=text(32), last_update=st.datetimes().map(lambda t: f"{t:%Y-%m-%d %H:%M:%S}".zfill(19))
    ),
    nic=st.lists(nics, max_size=3).map(tuple),
    status=text(32),
)
groups = st.builds(Group, id=ids, name=names, description=text(256, least=0))
