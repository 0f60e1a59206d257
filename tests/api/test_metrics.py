"""/metrics."""

from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devicesvc.app import create_app
from devicesvc.errors import StoreUnavailable
from devicesvc.metrics import Metrics
from tests.hard_data import ADD


@pytest.fixture
def metric(client):
    """The value of a metric now; None if there is none with these labels."""

    def metric(name, **labels):
        families = text_string_to_metric_families(client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        return next((each.value for each in samples if (each.name, each.labels) == (name, labels)), None)

    return metric


class TestMetrics:
    def test_they_are_what_prometheus_reads(self, client):
        answer = client.get("/metrics")
        assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
        families = {family.name for family in text_string_to_metric_families(answer.text)}
        assert {"devicesvc_info", "devicesvc_http_requests", "devicesvc_commit_seconds"} <= families

    def test_requests_are_counted_by_route_method_and_status(self, client, metric):
        for _ in range(3):
            client.get("/v1/devices/4322159209")
        client.get("/v1/devices/none")
        client.patch("/v1/devices/none", json={})
        route = "/v1/devices/{id}"
        assert metric("devicesvc_http_requests_total", route=route, method="GET", status="200") == 3
        assert metric("devicesvc_http_requests_total", route=route, method="GET", status="404") == 1
        assert metric("devicesvc_http_requests_total", route=route, method="PATCH", status="404") == 1
        assert metric("devicesvc_http_request_seconds_count", route=route, method="GET") == 4
        assert 0 < metric("devicesvc_http_request_seconds_sum", route=route, method="GET") < 60

    def test_what_clients_make_up_makes_no_series(self, client, metric):
        for number in range(3):
            client.get(f"/nothing/{number}")
            client.open("/v1/devices", method=f"MADE-UP-{number}")
        assert metric("devicesvc_http_requests_total", route="none", method="GET", status="404") == 3
        assert metric("devicesvc_http_requests_total", route="none", method="other", status="405") == 3
        assert "nothing" not in client.get("/metrics").text

    def test_refusals_before_the_view_are_counted_too(self, client, metric):
        client.post("/v1/devices", data="{", content_type="application/json")
        assert metric("devicesvc_http_requests_total", route="/v1/devices", method="POST", status="400") == 1

    def test_commits_and_the_changes_in_them_are_counted(self, client, metric):
        client.post("/v1/devices", json=ADD)
        client.delete("/v1/devices?ids=4322159209")
        client.delete("/v1/devices?ids=4322159209")  # nothing to delete, so nothing to commit
        assert metric("devicesvc_commit_ops_sum") == metric("devicesvc_commit_ops_count") == 2
        assert metric("devicesvc_commit_seconds_count") == 2
        assert 0 < metric("devicesvc_commit_seconds_sum") < 60

    def test_the_size_of_the_store_is_what_it_is_now(self, client, metric):
        assert metric("devicesvc_items", kind="devices") == 5
        client.post("/v1/devices/batch", json={"create": [ADD] * 500})
        client.put("/v1/groups/a", json={"name": "A"})
        client.put("/v1/groups/a/devices/4322159209")
        found = [metric("devicesvc_items", kind=kind) for kind in ("devices", "groups", "memberships")]
        assert found == [505, 1, 1]
        assert metric("devicesvc_store_bytes") >= 500 * 60

    def test_the_size_of_the_history_is_shown_and_that_it_is_complete(self, client, store, metric, monkeypatch):
        client.post("/v1/devices/batch", json={"create": [ADD] * 500})
        assert metric("devicesvc_history_bytes") >= 500 * 60
        assert metric("devicesvc_history_complete") == 1
        monkeypatch.setattr(type(store.history), "fault", property(lambda _: "It is torn."))
        assert metric("devicesvc_history_complete") == 0

    def test_the_store_can_be_written(self, metric):
        assert metric("devicesvc_writable") == 1

    def test_refused_writes_are_counted_and_the_rest_is_shown_without_the_store(self, app, client, metric, monkeypatch):
        def fail(*_arguments):
            raise StoreUnavailable("The disk is full.")

        for name in ("_write", "size"):
            monkeypatch.setattr(app.extensions["devicesvc.store"], name, fail)
        assert client.post("/v1/devices", json=ADD).status_code == 503
        assert metric("devicesvc_refused_writes_total") == 1
        assert metric("devicesvc_items", kind="devices") is None
        assert metric("devicesvc_writable") == 0


class TestLastBackup:
    NAME = "devicesvc_last_backup_timestamp_seconds"

    @pytest.fixture
    def backups(self, app, store, tmp_path):
        app.extensions["devicesvc.metrics"] = Metrics(store, "0", tmp_path / "backups")
        return tmp_path / "backups"

    def test_it_is_the_time_of_the_newest_backup_now(self, metric, backups):
        for day in (26, 25, 27):
            (backups / f"devicesvc-2026-11-{day}T12-00-00Z").mkdir(parents=True)
            assert metric(self.NAME) == datetime(2026, 11, max(day, 26), 12, tzinfo=UTC).timestamp()

    def test_what_is_not_a_backup_does_not_count(self, metric, backups):
        (backups / "devicesvc-2026-11-26T12-00-00Z.unreadable").mkdir(parents=True)
        assert metric(self.NAME) == 0

    def test_without_a_folder_there_is_no_backup(self, metric, backups):
        assert not backups.exists()
        assert metric(self.NAME) == 0

    def test_a_service_that_does_not_know_of_backups_says_nothing(self, metric):
        assert metric(self.NAME) is None

    def test_the_setting_names_the_folder(self, store, backups):
        (backups / "devicesvc-2026-11-26T12-00-00Z").mkdir(parents=True)
        client = create_app({"TOKENS_FILE": "", "BACKUPS": str(backups)}, store=store).test_client()
        assert f"{self.NAME} 1.7956944e+09" in client.get("/metrics").text
