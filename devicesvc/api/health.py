"""/healthz and /readyz: for whoever keeps the service running."""

from http import HTTPStatus

from flask import Response
from flask.views import MethodView

from devicesvc.api import schemas
from devicesvc.api.answers import ok, store
from devicesvc.api.smorest import Blueprint

blp = Blueprint("health", __name__, description="Is the service alive, and can it work?")


@blp.route("/healthz")
class Alive(MethodView):
    @blp.doc(operationId="is_alive")
    @blp.response(200, schemas.AnswerSchema(), description="Alive.", example={"status": 200, "message": "alive"})
    def get(self) -> Response:
        """Is the process alive

        Asks nothing of the store: restart the service where this does not answer.
        """
        return ok("alive")


@blp.route("/readyz")
class Ready(MethodView):
    @blp.doc(operationId="is_ready")
    @blp.response(200, schemas.AnswerSchema(), description="Ready.", example={"status": 200, "message": "ready"})
    @blp.alt_response(503, HTTPStatus(503).name)
    def get(self) -> Response:
        """Can the service read and write

        The store proves that it can write; send no requests here while this answers 503.
        """
        store().ping()
        return ok("ready")
