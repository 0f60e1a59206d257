"""/healthz and /readyz."""

from devicesvc.dao import readiness
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


def test_twenty_who_ask_at_once_make_the_store_prove_it_once_and_again_a_second_later(client, monkeypatch):
    now, proofs = [1000.0], []
    monkeypatch.setattr(readiness, "monotonic", lambda: now[0])
    monkeypatch.setattr(client.application.extensions["devicesvc.store"], "ping", lambda: proofs.append(now[0]))
    for _ in range(20):
        assert client.get("/readyz").status_code == 200
    now[0] += readiness.REMEMBERED
    assert client.get("/readyz").status_code == 200
    assert proofs == [1000.0, 1001.0]
