"""The REST API: resources over a store, their documentation, and one shape for every error.

It imports the contract in `dao.base`, the CSV codec, the metrics and the tokens, and no store.
"""

from flask import Flask, request

from devicesvc.api import auth, bulk, changes, console, counts, devices, docs, groups, health, memberships
from devicesvc.api.edge import ROUTE, Edge
from devicesvc.api.errors import init_app as handle_errors
from devicesvc.api.feed import Feed
from devicesvc.api.hosts import Hosts
from devicesvc.api.items import ItemConverter
from devicesvc.api.proxies import Proxies
from devicesvc.api.smorest import Api
from devicesvc.dao.base import Store
from devicesvc.metrics import Metrics
from devicesvc.tokens import Tokens

# The order of the documentation. A new resource is one module with a `blp`, named here.
RESOURCES = (devices, bulk, counts, groups, memberships, changes, health)


def init_app(
    app: Flask,
    store: Store,
    metrics: Metrics,
    tokens: Tokens | None,
    hosts: Hosts | None,
    proxies: Proxies,
    version: str,
) -> None:
    """Add the API to the app.

    store: the open store that the API reads and changes. metrics: counts each request. tokens: those that may call /v1
    and /metrics; None means that everybody may. hosts: the names by which it may be called; None means any.
    proxies: those whose word on the address of a client is taken. version: the version that the OpenAPI document shows.
    """
    app.extensions["devicesvc.store"] = store
    app.extensions["devicesvc.metrics"] = metrics
    app.extensions["devicesvc.feed"] = Feed(store)
    app.extensions["devicesvc.tokens"] = tokens
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # otherwise OPTIONS answers with an empty page
    app.url_map.converters["item"] = ItemConverter
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # otherwise // in a path answers with an HTML redirect
    api = Api(app, version, has_tokens=tokens is not None)
    for resource in RESOURCES:
        api.register_blueprint(resource.blp)
    app.register_blueprint(docs.blp)
    app.register_blueprint(console.blp)
    app.before_request(_begin)
    handle_errors(app)
    app.wsgi_app = Edge(app, app.wsgi_app, hosts, proxies)  # type: ignore[method-assign]


def _begin() -> None:
    if rule := request.url_rule:
        request.environ[ROUTE] = rule.rule
    auth.check()
