"""devicesvc: a registry of devices behind a REST API, its data in a CSV file that a person can read."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from devicesvc import api
from devicesvc.config import configure
from devicesvc.dao import open_store
from devicesvc.dao.base import Store
from devicesvc.metrics import Metrics
from devicesvc.sample import DEVICES
from devicesvc.tokens import Tokens

__version__ = "0.1.0"

log = logging.getLogger(__name__)


def create_app(config: Mapping[str, Any] | None = None, *, store: Store | None = None) -> Flask:
    """Make the service.

    config: settings over those of the environment (config.py). store: one that is open already; else the one that the
    settings name is opened, with the five sample devices where it is new. Raises StoreUnavailable.
    """
    app = Flask(__name__, static_folder=None)
    configure(app, config)
    tokens = Tokens(Path(app.config["TOKENS_FILE"])) if app.config["TOKENS_FILE"] else None
    if not tokens:
        log.warning(
            "No tokens are configured: whoever reaches this address may read and change everything."
            " devicesvc token create makes one."
        )
    store = store or open_store(app.config["STORE"], DEVICES)
    api.init_app(app, store, Metrics(store, __version__), tokens, version=__version__)
    return app
