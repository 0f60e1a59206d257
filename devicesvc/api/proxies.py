"""The address of a client behind a proxy. Anybody can send X-Forwarded-For, so only the word of a trusted proxy counts.

Each proxy adds the address that it has the request from at the end of X-Forwarded-For. So the list is read from its
end: it is right up to the first address that is not a trusted proxy. That one is the client; what is before it, the
client may have made up.
"""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from devicesvc.errors import RegistryError, shown

UNKNOWN = "-"  # in the place of the address, if a request came by a socket of this machine: that one is trusted


class Proxies:
    """The proxies that are trusted.

    setting: DEVICESVC_TRUSTED_PROXIES, addresses and networks, separated by commas. Raises RegistryError.
    """

    def __init__(self, setting: str) -> None:
        try:
            self._networks = [ip_network(each.strip()) for each in setting.split(",") if each.strip()]
        except ValueError as error:
            raise RegistryError(
                "DEVICESVC_TRUSTED_PROXIES must be addresses and networks, such as 127.0.0.1 or 172.18.0.0/16,"
                f" separated by commas: {shown(setting)} is not: {error}."
            ) from error
        self._found = lru_cache(128)(self._find)

    def client(self, environ: Mapping[str, Any]) -> str:
        """The address of the client of this request."""
        peer = environ.get("REMOTE_ADDR") or UNKNOWN
        given = environ.get("HTTP_X_FORWARDED_FOR")
        return self._found(peer, given) if given and self._networks else peer

    def _find(self, peer: str, given: str) -> str:
        client = peer
        for hop in reversed(given.split(",")):
            if not self._is_trusted(client):
                break
            address = _address(hop)
            if not address or "%" in hop:  # after a % anything may come
                break
            client = str(address)
        return client

    def _is_trusted(self, client: str) -> bool:
        address = _address(client)
        return client == UNKNOWN or any(address in network for network in self._networks if address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is; None if it is not one. An IPv4 address in the form of IPv6 is the IPv4 address."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
