"""The REST API: resources over a store, their documentation, and one shape for every error.

It imports the contract in `dao.base`, the CSV codec, the metrics and the tokens, and no store.
"""

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
    """Add the API to the app.

    store: the open store that the API reads and changes. metrics: counts each request. tokens: those that may call /v1
    and /metrics; None means that everybody may. version: the version that the OpenAPI document shows.
    """
    app.extensions["devicesvc.store"] = store
    app.extensions["devicesvc.metrics"] = metrics
    app.extensions["devicesvc.tokens"] = tokens
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # otherwise OPTIONS answers with an empty page
    app.url_map.converters["item"] = ItemConverter
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # otherwise // in a path answers with an HTML redirect
    api = Api(app, version)
    for resource in RESOURCES:
        api.register_blueprint(resource.blp)
    app.register_blueprint(docs.blp)
    request_log.init_app(app)  # first, so that a refused request gets an id too
    app.before_request(auth.check)
    app.after_request(_no_sniffing)
    errors.init_app(app)


def _no_sniffing(response: Response) -> Response:
    """Tell browsers not to guess from the content of an answer that it is a page."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
