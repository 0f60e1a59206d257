"""Why another program is ahead in a row, or an aim falls short: what the page says beside the figure."""

from benchmarks import bulk, peers, reads, start, updates

NOT_EXPLAINED = "not explained yet"

# By program, part, and the beginning of the row.
REASONS: dict[tuple[str, str, str], str] = {
    (peers.BARE.name, reads.READS, ""): "it looks at nothing, counts nothing and logs nothing: it answers ready bytes",
    (peers.BARE.name, reads.NEW_CONNECTIONS, ""): "it answers ready bytes, as above",
    (peers.BARE.name, start.PART, ""): "it loads no schemas, no documentation and no store",
    (peers.SMOREST.name, reads.READS, ""): "it looks at no file and makes no ETag, no log and no metrics",
    (peers.SMOREST.name, start.PART, ""): "it has no migrations, no metrics and no tokens, and checks no row",
    (peers.SMOREST.name, bulk.EXPORT, ""): "it does not read back what it writes to see that it says the same",
    (peers.SMOREST.name, updates.PART, ""): "it keeps nothing: after a crash, its changes are gone",
    (
        peers.FASTAPI.name,
        reads.READS,
        "",
    ): "its server is in C, without threads, and it looks at no file and makes no ETag",
    (peers.FASTAPI.name, start.PART, ""): "it is one process, and has no migrations, no metrics and no tokens",
    (peers.FASTAPI.name, bulk.EXPORT, ""): "it does not read back what it writes to see that it says the same",
    (peers.FASTAPI.name, reads.NEW_CONNECTIONS, ""): "its server is in C: a connection needs no thread",
    (peers.FASTAPI.name, updates.PART, ""): "it keeps nothing: after a crash, its changes are gone",
    (peers.SANIC.name, reads.READS, ""): "its server is in C, without threads, and it checks nothing",
    (peers.SANIC.name, reads.NEW_CONNECTIONS, ""): "its server is in C: a connection needs no thread",
    (peers.SANIC.name, start.PART, ""): "it checks no row and keeps no index",
    (peers.JSON_SERVER_PEER.name, start.PART, "first answer"): "it checks no row and keeps no index",
    (peers.POCKETBASE.name, reads.READS, ""): "it is compiled, from Go, and answers on all cores",
    (peers.POCKETBASE.name, reads.NEW_CONNECTIONS, ""): "it is compiled, from Go, and answers on all cores",
    (peers.POCKETBASE.name, updates.PART, ""): "it does not wait for the disk: a power cut may take back its changes",
    (peers.POCKETBASE.name, start.PART, ""): "its devices are in SQLite: it reads none of them at the start",
    (
        "sqlite3 .import into one table, unchecked",
        bulk.MIGRATION,
        "",
    ): "it checks nothing, and one table takes all as text",
    ("csv.reader + executemany, unchecked", bulk.MIGRATION, ""): "it checks nothing, and reads nothing back",
    ("sqlite-utils insert --csv, one table", bulk.MIGRATION, "memory"): "it checks nothing, and reads nothing back",
}


def reason(peer: str, part: str, row: str) -> str:
    """Return why this program is ahead in this row."""
    for (of_peer, of_part, beginning), words in REASONS.items():
        if (of_peer, of_part) == (peer, part) and row.startswith(beginning):
            return words
    return NOT_EXPLAINED


# By the beginning of the aim.
SHORT: dict[str, str] = {
    "GET by id": "a device that nobody has asked for since the last change goes through Flask and flask-smorest",
    "GET ?id=": "as before; and webargs and marshmallow check the query",
    "Each read": "both go through Flask, flask-smorest and marshmallow; ours also makes an ETag and looks at the file",
    "PUT by": "the same app, with the same commits, runs in both; only the server differs",
    "Start with 100,000 devices: first": "each row is checked and put into its indexes as it is read",
    "Start with 100,000 devices: memory": "1 kB for each device with its line, and 40 MB without any",
}


def reason_of_aim(aim: str) -> str:
    """Return why this aim falls short."""
    return next((words for beginning, words in SHORT.items() if aim.startswith(beginning)), NOT_EXPLAINED)
