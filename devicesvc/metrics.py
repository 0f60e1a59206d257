"""The metrics that /metrics shows, for Prometheus.

gunicorn's workers are processes. Each writes its counts to its own files in the folder PROMETHEUS_MULTIPROC_DIR, and
the worker that answers /metrics adds all counts. server.py makes the folder. Without it, the counts are of this process
only.
https://prometheus.github.io/client_python/multiprocess/
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from devicesvc import backups
from devicesvc.dao import readiness
from devicesvc.dao.base import Observer, Size, Store
from devicesvc.errors import StoreUnavailable

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OPS = (1, 2, 4, 8, 16, 32)  # a worker has 32 threads


class Metrics(Observer):
    """The metrics of the service and of its store. It is the observer of the store.

    version: of the service. backup_folder: where backups are; None means that this is not known.
    """

    def __init__(self, store: Store, version: str, backup_folder: Path | None = None) -> None:
        # prometheus_client looked for the folder when it was imported, before the folder was made.
        values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._own = CollectorRegistry()
        self._of_store = CollectorRegistry()
        self._of_store.register(_OfStore(store, version))
        if backup_folder:
            self._of_store.register(_OfBackups(backup_folder))
        store.observer = self
        self._requests = Counter(
            "devicesvc_http_requests",
            "Requests answered, by the route in the API, the method and the status code.",
            ["route", "method", "status"],
            registry=self._own,
        )
        self._request_seconds = Histogram(
            "devicesvc_http_request_seconds",
            "Seconds from a request's headers to its answer.",
            ["route", "method"],
            buckets=SECONDS,
            registry=self._own,
        )
        self._commit_seconds = Histogram(
            "devicesvc_commit_seconds",
            "Seconds that a commit of the store took; their count is that of the commits.",
            buckets=SECONDS,
            registry=self._own,
        )
        self._commit_ops = Histogram(
            "devicesvc_commit_ops",
            "Changes that one commit made durable together.",
            buckets=OPS,
            registry=self._own,
        )
        self._refused = Counter(
            "devicesvc_refused_writes", "Changes that the store could not keep: 503.", registry=self._own
        )
        self._reloads = Counter(
            "devicesvc_reloads", "Times that files were read again: somebody else had changed them.", registry=self._own
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered. route: as the documentation writes it, or `none`. seconds: from the start
        of the request to its answer."""
        key = route, method, status
        series = self._series.get(key)  # kept here, because prometheus_client is slow to find them
        if not series:
            series = self._requests.labels(*key), self._request_seconds.labels(route, method)
            self._series[key] = series
        series[0].inc()
        series[1].observe(seconds)

    def committed(self, changes: int, seconds: float) -> None:
        """Count a commit of so many changes."""
        self._commit_ops.observe(changes)
        self._commit_seconds.observe(seconds)

    def refused(self) -> None:
        """Count a change that could not be kept."""
        self._refused.inc()

    def reloaded(self) -> None:
        """Count that files were read again."""
        self._reloads.inc()

    def page(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        counts = self._own
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            counts = CollectorRegistry()
            MultiProcessCollector(counts)  # type: ignore[no-untyped-call]
        return generate_latest(counts) + generate_latest(self._of_store)


class _OfStore(Collector):
    """The metrics that are read from the store at each call of /metrics. All workers have the same store, so the one
    that is asked answers for all."""

    def __init__(self, store: Store, version: str) -> None:
        self._store = store
        self._version = version

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("devicesvc_info", "The version of the service.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info
        size, is_writable = self._look()
        words = "Whether the store can be read and written: 1, or 0 if not. It is what /readyz says."
        yield GaugeMetricFamily("devicesvc_writable", words, value=is_writable)
        if not size:
            return
        items = GaugeMetricFamily("devicesvc_items", "Items in the store, by kind.", labels=["kind"])
        for kind in ("devices", "groups", "memberships"):
            items.add_metric([kind], getattr(size, kind))
        yield items
        yield GaugeMetricFamily("devicesvc_store_bytes", "Bytes of the store on the disk.", value=size.bytes)
        yield from self._history()

    def _history(self) -> Iterator[Metric]:
        history = self._store.history
        with suppress(StoreUnavailable):
            words = "Bytes of the history on the disk; in a database, about."
            yield GaugeMetricFamily("devicesvc_history_bytes", words, value=history.size())
        words = "Whether the history has all that was changed: 1, or 0 if not. /readyz says why."
        yield GaugeMetricFamily("devicesvc_history_complete", words, value=not history.fault)

    def _look(self) -> tuple[Size | None, bool]:
        """How much the store holds, if it can be read, and whether it can be written. /readyz says why not."""
        size = None
        try:
            size = self._store.size()  # first: a server that does not answer is waited for once only
            readiness.prove(self._store)
        except StoreUnavailable:
            return size, False
        return size, True


class _OfBackups(Collector):
    """When the last backup was made, as the folder of backups shows it at each call of /metrics."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        try:
            made = backups.find(self._folder)
        except OSError:
            made = []  # as far as this service knows, there is none
        yield GaugeMetricFamily(
            "devicesvc_last_backup_timestamp_seconds",
            "When the last backup was made, in seconds since 1970; 0 if there is none.",
            value=made[-1].timestamp() if made else 0,
        )
