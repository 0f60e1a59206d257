"""The settings of the service: defaults, over them DEVICESVC_* of the environment, over them create_app's argument."""

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask

DEFAULTS = {
    "STORE": "./device.csv",  # where the registry is kept: see dao.open_store
    "LOG_FORMAT": "text",  # or json: see logs.py
    "TOKENS_FILE": "",  # who may call /v1: see tokens.py; empty means everybody
}


def setting(name: str) -> str:
    """What the environment says of a setting, or its default."""
    return os.environ.get(f"DEVICESVC_{name}", DEFAULTS[name])


def configure(app: Flask, argument: Mapping[str, Any] | None = None) -> None:
    """Fill app.config; DEVICESVC_STORE in the environment is STORE there, and so on."""
    app.config.from_mapping({name: setting(name) for name in DEFAULTS})
    app.config.from_mapping(argument)
