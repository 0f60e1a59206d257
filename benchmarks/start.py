"""From the start of a program to its first answer, and its memory then."""

from benchmarks.run import FEW, MANY, Run

PART = "Start"


def row_of(what: str, size: int) -> str:
    """The name of a row. what: "first answer" or "memory"."""
    return f"{what}, {size:,} devices"


def measure(run: Run) -> None:
    for size in (FEW, MANY):
        folder = run.prepared(size)
        for _ in range(min(run.turns, 3)):
            for peer in run.peers_of(size):
                run.progress.show(f"{peer.name}, {size:,} devices")
                with peer.service(folder) as service:
                    run.results.add(PART, row_of("first answer", size), peer.name, "s", service.seconds_to_start)
                    run.results.add(PART, row_of("memory", size), peer.name, "MB", service.memory())
