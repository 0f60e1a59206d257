"""A route of Flask that does as little as possible: it answers bytes that were made at the start."""

import json
import os
from pathlib import Path

from flask import Flask, Response

app = Flask(__name__)
BODIES = {
    device["id"]: json.dumps({"status": 200, "message": "device found", "data": device}).encode()
    for device in json.loads(Path(os.environ["DEVICES"]).read_text())
}


@app.get("/v1/devices/<id>")
def get(id: str) -> Response:
    return Response(BODIES[id], mimetype="application/json")
