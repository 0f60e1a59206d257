"""/healthz and /readyz."""

from devicesvc.errors import StoreUnavailable


def test_alive_asks_nothing_of_the_store(client, monkeypatch):
    monkeypatch.setitem(client.application.extensions, "devicesvc.store", None)
    assert client.get("/healthz").json == {"status": 200, "message": "alive"}


def test_ready_when_the_store_can_write(client):
    assert client.get("/readyz").json == {"status": 200, "message": "ready"}


def test_not_ready_when_the_store_cannot(client, monkeypatch):
    def fail():
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(client.application.extensions["devicesvc.store"], "ping", fail)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["detail"] == "The disk is full."
