"""The settings of the service: defaults, over them DEVICESVC_* of the environment, over them create_app's argument."""

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask

DEFAULTS = {
    "STORE": "./device.csv",  # where the registry is kept: see dao.open_store
    "TOKENS_FILE": "",  # who may call /v1: see tokens.py; empty means everybody
}


def configure(app: Flask, argument: Mapping[str, Any] | None = None) -> None:
    """Fill app.config; DEVICESVC_STORE in the environment is STORE there, and so on."""
    environment = {name: os.environ.get(f"DEVICESVC_{name}", default) for name, default in DEFAULTS.items()}
    app.config.from_mapping(environment)
    app.config.from_mapping(argument)
