"""What the service aims at, and whether a run shows that it holds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks import hard_clients, peers, reads, start, updates
from benchmarks.results import Results
from benchmarks.run import FEW, MANY

SIZES = FEW, MANY
NOISE = 0.97  # two runs of one program are as far apart


class Judged(NamedTuple):
    """holds: None if it was not measured."""

    aim: str
    figure: str
    holds: bool | None


@dataclass(frozen=True)
class Aim:
    """words: what shall be. value: reads it from a run; None if it was not measured. least: it shall be at least the
    limit; otherwise, at most."""

    words: str
    limit: float
    value: Callable[[Results], float | None]
    unit: str = "times"
    least: bool = False

    def judge(self, results: Results) -> Judged:
        value = self.value(results)
        if value is None:
            return Judged(self.words, "not measured", None)
        digits = 0 if (self.unit in ("ms", "MB") and value >= 10) or self.unit in ("failures", "yes = 1") else 2
        unit = "" if self.unit in ("times", "yes = 1") else f" {self.unit}"
        return Judged(
            self.words, f"{value:,.{digits}f}{unit}", value >= self.limit if self.least else value <= self.limit
        )


def judge(results: Results) -> list[Judged]:
    """Judge all aims by the figures of a run."""
    return [aim.judge(results) for aim in (*_read_aims(), *_update_aims(), *_slow_aims(), *_other_aims())]


def _read_aims() -> Iterator[Aim]:
    for kind, limit in ((reads.GET, 0.45), (reads.BY_ID, 0.6), (reads.LIST, 1.0)):
        yield Aim(
            f"{kind}: at most {limit} of the processor time of a bare Flask route, with {FEW:,} and {MANY:,} devices",
            limit,
            lambda results, kind=kind: _worst(max, (_to_bare(results, kind, size) for size in SIZES)),  # type: ignore[misc]
        )
    yield Aim("Each read: a textbook flask-smorest needs at least twice the processor time", 2, _to_smorest, least=True)
    yield Aim(
        "GET of the same id again: FastAPI needs more processor time",
        1,
        lambda results: _cpu_ratio(results, peers.FASTAPI, peers.CSV, reads.row_of(reads.AGAIN, FEW)),
        least=True,
    )


def _update_aims() -> Iterator[Aim]:
    for clients, limit in ((1, NOISE), (16, 1.9), (64, 2.1)):
        words = "not fewer" if clients == 1 else f"{limit} times as many"
        yield Aim(
            f"PUT by {clients} client{'s' * (clients > 1)}: {words} as the same app on stock gthread",
            limit,
            lambda results, clients=clients: _ratio(  # type: ignore[misc]
                results, updates.PART, updates.row_of(clients), peers.CSV.name, peers.STOCK.name
            ),
            least=True,
        )
    yield Aim(
        f"One update among {MANY:,} devices: at most 1.3 times a bare write, fsync and rename of the same bytes",
        1.3,
        lambda results: _ratio(results, updates.BARE_WRITE, updates.BARE_ROW, peers.CSV.name, updates.PLAIN),
    )


def _slow_aims() -> Iterator[Aim]:
    def value(row: str) -> Callable[[Results], float | None]:
        return lambda results: _median(results, hard_clients.SLOW, row, peers.CSV.name)

    def slower(kind: str) -> Callable[[Results], float | None]:
        beside, alone = (f"{hard_clients.MS}, {which}{kind}" for which in ("", "alone, before "))
        return lambda results: _divide(value(beside)(results), value(alone)(results))

    for kind in hard_clients.KINDS:
        yield Aim(f"{kind}: no GET of an ordinary client fails", 0, value(f"{hard_clients.FAILED}, {kind}"), "failures")
        yield Aim(f"{kind}: a GET takes at most twice its time, in the median", 2, slower(kind))
        yield Aim(f"{kind}: at most 315 MB (300 MiB)", 315, value(f"{hard_clients.MEMORY}, {kind}"), "MB")
        yield Aim(
            f"{kind}: the next connection is served (1)", 1, value(f"{hard_clients.NEXT}, {kind}"), "yes = 1", True
        )


def _other_aims() -> Iterator[Aim]:
    yield Aim(
        "While 60 MB are imported and all devices exported: a GET at most 50 ms, at the 99th percentile",
        50,
        lambda results: _median(results, hard_clients.LONG, hard_clients.LONG_ROW, peers.CSV.name),
        "ms",
    )
    yield Aim(
        "SIGTERM under load: each request that was read is answered",
        0,
        lambda results: _most(results, hard_clients.STOP, hard_clients.STOP_ROW, peers.CSV.name),
        "failures",
    )
    for what, limit, unit in (("first answer", 2.5, "s"), ("memory", 150, "MB")):
        yield Aim(
            f"Start with {MANY:,} devices: {what}, at most {limit} {unit}",
            limit,
            lambda results, what=what: _median(results, start.PART, start.row_of(what, MANY), peers.CSV.name),  # type: ignore[misc]
            unit,
        )


def _median(results: Results, part: str, row: str, peer: str) -> float | None:
    figure = results.get(part, row, peer)
    return figure.median if figure else None


def _most(results: Results, part: str, row: str, peer: str) -> float | None:
    figure = results.get(part, row, peer)
    return max(figure.values) if figure else None


def _ratio(results: Results, part: str, row: str, one: str, other: str) -> float | None:
    return _divide(_median(results, part, row, one), _median(results, part, row, other))


def _divide(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def _cpu(results: Results, peer: peers.Peer, row: str) -> float | None:
    figure = results.get(reads.READS, row, peer.name)
    return figure.median_cpu if figure else None


def _cpu_ratio(results: Results, one: peers.Peer, other: peers.Peer, row: str) -> float | None:
    return _divide(_cpu(results, one, row), _cpu(results, other, row))


def _to_bare(results: Results, kind: str, size: int) -> float | None:
    bare = _cpu(results, peers.BARE, reads.row_of(reads.GET, size))
    return _divide(_cpu(results, peers.CSV, reads.row_of(kind, size)), bare)


def _to_smorest(results: Results) -> float | None:
    return _worst(min, (_cpu_ratio(results, peers.SMOREST, peers.CSV, row) for row in results.rows(reads.READS)))


def _worst(pick: Callable[[Iterable[float]], float], values: Iterable[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return pick(measured) if measured else None
