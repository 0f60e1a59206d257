"""/healthz and /readyz."""

from devicesvc.dao import readiness
from devicesvc.errors import StoreUnavailable
from devicesvc.tokens import Tokens, create


def test_alive_asks_nothing_of_the_store(client, monkeypatch):
    monkeypatch.setitem(client.application.extensions, "devicesvc.store", None)
    assert client.get("/healthz").json == {"status": 200, "message": "alive"}


def test_ready_when_the_store_can_write(client):
    assert client.get("/readyz").json == {"status": 200, "message": "ready"}


def test_ready_too_when_the_history_is_not_complete_and_it_says_so(client, store, monkeypatch):
    monkeypatch.setattr(type(store.history), "fault", property(lambda _: "history-2026-11.csv cannot be read."))
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json["message"] == "ready, but the history is not complete: history-2026-11.csv cannot be read."


def test_with_tokens_it_does_not_name_the_files_of_the_history(client, store, monkeypatch, tmp_path):
    create(tmp_path / "tokens.txt", "reader", "read")
    monkeypatch.setitem(client.application.extensions, "devicesvc.tokens", Tokens(tmp_path / "tokens.txt"))
    monkeypatch.setattr(type(store.history), "fault", property(lambda _: "history-2026-11.csv cannot be read."))
    assert client.get("/readyz").json["message"] == "ready, but the history is not complete: the log says why."


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
