"""Why another program is ahead in a row: what the page says beside the figure."""

NOT_EXPLAINED = "not explained yet"

# By program, part, and the beginning of the row.
REASONS: dict[tuple[str, str, str], str] = {}


def reason(peer: str, part: str, row: str) -> str:
    """Return why this program is ahead in this row."""
    for (of_peer, of_part, beginning), words in REASONS.items():
        if (of_peer, of_part) == (peer, part) and row.startswith(beginning):
            return words
    return NOT_EXPLAINED
