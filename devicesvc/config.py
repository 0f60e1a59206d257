"""The settings of the service: the argument of create_app, else DEVICESVC_* in the environment, else the default."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask

DEFAULTS = {
    "STORE": "./device.csv",  # a path or a URL: dao/urls.py
    "LOG_FORMAT": "text",  # or json: logs.py
    "BACKUPS": "",  # the folder of backups, whose age /metrics shows: backups.py; empty means that it shows none
    "TOKENS_FILE": "",  # the file of tokens that may call /v1: tokens.py; empty means that everybody may
    "HOSTS": "",  # more names by which a service without tokens may be called: api/hosts.py
    "TRUSTED_PROXIES": "127.0.0.1, ::1",  # that say which client a request is from: api/proxies.py
}

WORKERS = 1  # processes; more also work on a CSV file, but one is fastest: it does not read what another one wrote
THREADS = 32  # in each


def setting(name: str) -> str:
    """The value of a setting in the environment, or its default. name: a key of DEFAULTS."""
    return os.environ.get(f"DEVICESVC_{name}", DEFAULTS[name])


def configure(app: "Flask", argument: Mapping[str, Any] | None = None) -> None:
    """Fill app.config with the settings; their names there are those of DEFAULTS, without DEVICESVC_."""
    app.config.from_mapping({name: setting(name) for name in DEFAULTS})
    app.config.from_mapping(argument)
