"""create_app: makes the service from the settings, the store, the tokens, the metrics and the API."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Request
from werkzeug.routing import MapAdapter

from devicesvc import __version__, api
from devicesvc.api.hosts import Hosts
from devicesvc.api.proxies import Proxies
from devicesvc.config import configure
from devicesvc.dao.base import Store
from devicesvc.dao.urls import open_store
from devicesvc.metrics import Metrics
from devicesvc.sample import DEVICES
from devicesvc.tokens import Tokens

log = logging.getLogger(__name__)


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Flask asks here, several times for each request, whether a function is a coroutine: none of ours is."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Flask reads the Host of each request here, for routes that depend on it: none of ours does."""
        if request is None:
            return super().create_url_adapter(None)
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)


def create_app(config: Mapping[str, Any] | None = None, *, store: Store | None = None) -> Flask:
    """Return the service as a WSGI app.

    config: settings that replace those of the environment (config.py). store: an open store. If it is None, the store
    in the settings is opened, and gets the five sample devices if it is new. Raises RegistryError.
    """
    app = _App("devicesvc", static_folder=None)
    configure(app, config)
    tokens = Tokens(Path(app.config["TOKENS_FILE"])) if app.config["TOKENS_FILE"] else None
    hosts = None if tokens else Hosts(app.config["HOSTS"])
    if not tokens:
        log.warning(
            "No tokens are configured: everybody who reaches this address may read and change everything."
            " devicesvc token create makes one."
        )
    proxies = Proxies(app.config["TRUSTED_PROXIES"])
    store = store or open_store(app.config["STORE"], DEVICES)
    backups = Path(app.config["BACKUPS"]) if app.config["BACKUPS"] else None
    api.init_app(app, store, Metrics(store, __version__, backups), tokens, hosts, proxies, version=__version__)
    return app
