"""/healthz, /readyz and /metrics: for those who operate the service."""

from http import HTTPStatus

from flask import Response, current_app
from flask.views import MethodView

from devicesvc.api import answers
from devicesvc.api.responses import metrics, ok, store
from devicesvc.api.smorest import Blueprint
from devicesvc.dao import readiness

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EXAMPLE = """\
# HELP devicesvc_items Items in the store, by kind.
# TYPE devicesvc_items gauge
devicesvc_items{kind="devices"} 5.0
"""

blp = Blueprint("health", __name__, description="Is the service alive, can it work, and how is it doing?")


@blp.route("/healthz")
class Alive(MethodView):
    @blp.doc(operationId="is_alive")
    @blp.response(200, answers.AnswerSchema(), description="Alive.", example={"status": 200, "message": "alive"})
    def get(self) -> Response:
        """Is the process alive

        Does not use the store. Restart the service if this does not answer.
        """
        return ok("alive")


@blp.route("/readyz")
class Ready(MethodView):
    @blp.doc(operationId="is_ready")
    @blp.response(200, answers.AnswerSchema(), description="Ready.", example={"status": 200, "message": "ready"})
    @blp.alt_response(503, HTTPStatus(503).name)
    def get(self) -> Response:
        """Can the service read and write

        Tests that the store can read and write as much as a change takes. The outcome is remembered for a second. Send
        no requests to this service while this answers 503. If the history is not complete, the message says why: the
        service works all the same.
        """
        readiness.prove(store())
        return ok(_ready(store().history.fault))


def _ready(fault: str | None) -> str:
    """The message, if the service can work. fault: what is wrong with its history; None if nothing is."""
    if not fault:
        return "ready"
    is_private = current_app.extensions["devicesvc.tokens"] is not None  # not everybody may know the server's files
    return f"ready, but the history is not complete: {'the log says why.' if is_private else fault}"


@blp.route("/metrics")
class MetricsPage(MethodView):
    @blp.doc(operationId="get_metrics")
    @blp.response(200, {"type": "string"}, content_type=CONTENT_TYPE, description="The metrics.", example=EXAMPLE)
    @blp.alt_response(401, HTTPStatus(401).name)
    def get(self) -> Response:
        """How is the service doing

        Answers in the text format of Prometheus, for all workers together: requests, commits of the store, its size and
        that of its history, refused changes, reloads, and whether it can be written now. If tokens are configured, this
        call needs one.
        """
        return Response(metrics().page(), content_type=CONTENT_TYPE)
