"""By which names a service without tokens may be called: who reaches it may do everything, but not another site's page.

Such a page can give its own name the address of the service, and then read and change it through its visitor's browser
(DNS rebinding). So the name in Host must be one that no stranger on the internet can have.
"""

import re
import socket
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from devicesvc.errors import RegistryError, shown
from devicesvc.handover import READING

# An address, or a name without a dot, such as localhost or that of a container.
_LOCAL = re.compile(r"\[[0-9a-f:.]+\]|[0-9.]+|[a-z0-9_-]+")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_PORT = re.compile(r":[0-9]*$")
_ORIGIN = re.compile(r"https?://")


class Hosts:
    """The names that requests may use.

    setting: DEVICESVC_HOSTS, more names, separated by commas; `*` stands for all. Raises RegistryError.
    """

    def __init__(self, setting: str) -> None:
        self._names = {name.strip().lower() for name in setting.split(",") if name.strip()}
        for name in self._names - {"*"}:
            if not _NAME.fullmatch(name):
                raise RegistryError(
                    f"DEVICESVC_HOSTS must be names without port, separated by commas: {shown(name)} is not a name."
                )
        own = socket.gethostname().lower()
        self._own = {own, f"{own.partition('.')[0]}.local"}  # the second among its neighbours (RFC 6762)
        self._allows = lru_cache(128)(self._look)

    def refusal(self, environ: Mapping[str, Any]) -> str | None:
        """Why this request is refused; None if it is not. A request without Host does not come from a browser."""
        host = environ.get("HTTP_HOST", "")
        if host and not self._allows(host):
            return (
                "Without tokens, this service answers only to addresses, to names without a dot and to its machine's"
                f" name, not to {shown(host)}. If that name is yours, start the service with it in DEVICESVC_HOSTS."
            )
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or environ["REQUEST_METHOD"] in READING or self._is_own(origin, host):
            return None
        return (
            f"Without tokens, this service takes no change from a page of another site, {shown(origin)}. If that site"
            " is yours, start the service with its name in DEVICESVC_HOSTS."
        )

    def _look(self, host: str) -> bool:
        name = _PORT.sub("", host.lower())
        return bool(_LOCAL.fullmatch(name)) or name in self._own or name in self._names or "*" in self._names

    def _is_own(self, origin: str, host: str) -> bool:
        """Whether a page of this origin (RFC 6454) is one of this service, or of a site in DEVICESVC_HOSTS."""
        place = _ORIGIN.sub("", origin.lower(), count=1)
        return place == host.lower() or "*" in self._names or _PORT.sub("", place) in self._names
