"""Whose address the log shows, if a proxy may be in front."""

import pytest

from devicesvc.api.proxies import Proxies
from devicesvc.app import create_app
from devicesvc.errors import RegistryError

TRUSTED = "127.0.0.1, ::1, 10.0.0.0/8, 2001:db8::/32"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", " 203.0.113.9 , 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9,10.0.0.2", "203.0.113.9"),  # the first one may be made up
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("203.0.113.1", "198.51.100.1", "203.0.113.1"),
        ("2001:db8::1", "2001:DB9:0::7", "2001:db9::7"),
        ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("", "203.0.113.9", "203.0.113.9"),  # by a socket of this machine
        ("", None, "-"),
    ],
)
def test_it_is_the_last_hop_that_is_not_a_trusted_proxy(peer, forwarded, client):
    environ = {"REMOTE_ADDR": peer} | ({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {})
    assert Proxies(TRUSTED).client(environ) == client


@pytest.mark.parametrize(
    "forged",
    [
        "",
        ",",
        "unknown",
        '203.0.113.9 "GET / HTTP/1.1" 200',
        "fe80::1%a b",
        "203.0.113.9:80",
        "1",
        "٢٠٣.0.113.9",
        "x" * 8000,
    ],
)
def test_what_is_not_an_address_is_never_shown(forged):
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": forged}
    assert Proxies(TRUSTED).client(environ) == "127.0.0.1"
    environ["HTTP_X_FORWARDED_FOR"] = f"{forged},10.0.0.2"
    assert Proxies(TRUSTED).client(environ) == "10.0.0.2"


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.1", ""])
def test_if_nobody_is_trusted_it_is_the_peer(peer):
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": "203.0.113.9"}
    assert Proxies("").client(environ) == (peer or "-")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("nginx", "'nginx' does not appear to be an IPv4 or IPv6 network"),
        ("127.0.0.1, 10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("127.0.0.1 ::1", "'127.0.0.1 ::1' does not appear"),
    ],
)
def test_a_setting_that_names_no_address_is_refused_in_one_sentence(tmp_path, setting, words):
    with pytest.raises(RegistryError, match="DEVICESVC_TRUSTED_PROXIES must be addresses and networks.*" + words):
        create_app({"STORE": str(tmp_path / "device.csv"), "TRUSTED_PROXIES": setting, "TOKENS_FILE": ""})
    assert not list(tmp_path.iterdir())
