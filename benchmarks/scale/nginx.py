"""nginx in front of several instances of a service."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.services import Service

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

# As examples/nginx.conf, but that it keeps its connections to the instances.
CONFIGURATION = """\
{user}
worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream api {{
        {servers}
        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://api;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


def nginx(folder: Path, instances: Sequence[Service]) -> Service:
    """Return nginx in front of these instances, not yet started. folder: where its files are."""
    folder.mkdir(exist_ok=True)
    user = "user root;" if folder.owner() == "root" else ""

    def command(port: int) -> list[str | Path]:
        servers = " ".join(f"server 127.0.0.1:{each.port};" for each in instances)
        path = folder / "nginx.conf"
        path.write_text(CONFIGURATION.format(user=user, folder=folder, servers=servers, port=port))
        assert NGINX
        return [NGINX, "-c", path, "-e", folder / "nginx.log"]

    return Service("nginx", command, "/healthz")
