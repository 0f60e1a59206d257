"""The REST API: resources over a store, their documentation, and one shape for every error."""

from flask import Flask, Response

from devicesvc.api import auth, bulk, devices, docs, errors, groups, health, memberships, request_log
from devicesvc.api.items import ItemConverter
from devicesvc.api.smorest import Api
from devicesvc.dao.base import Store
from devicesvc.metrics import Metrics
from devicesvc.tokens import Tokens

# The order of the documentation. A new resource is one module with a `blp`, named here.
RESOURCES = (devices, bulk, groups, memberships, health)


def init_app(app: Flask, store: Store, metrics: Metrics, tokens: Tokens | None, version: str) -> None:
    """Serve the store from the app. metrics: what is told of each request. tokens: who may call /v1; None is
    everybody."""
    app.extensions["devicesvc.store"] = store
    app.extensions["devicesvc.metrics"] = metrics
    app.extensions["devicesvc.tokens"] = tokens
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # else OPTIONS answers with an empty page
    app.url_map.converters["item"] = ItemConverter
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # else // in a path answers with an HTML redirect
    api = Api(app, version)
    for resource in RESOURCES:
        api.register_blueprint(resource.blp)
    app.register_blueprint(docs.blp)
    request_log.init_app(app)  # before what may refuse a request
    app.before_request(auth.check)
    app.after_request(_no_sniffing)
    errors.init_app(app)


def _no_sniffing(response: Response) -> Response:
    """Let no browser take an answer for a page because of what is in it."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
