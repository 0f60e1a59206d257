"""A route that does as little as possible, to compare devicesvc with."""

from flask import Flask, Response

from devicesvc.sample import DEVICES

app = Flask(__name__)
BODY = b'{"status":200,"message":"device found","data":"' + b"x" * len(repr(DEVICES[0])) + b'"}\n'


@app.get("/v1/devices/<id>")
def get(id: str) -> Response:  # noqa: ARG001 - Flask passes what is in the path by its name
    return Response(BODY, mimetype="application/json")
