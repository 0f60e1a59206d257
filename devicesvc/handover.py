"""What the server, the API and its client agree on, so that none needs to know another.

The server stops a body that is too large before it has all of it; on any other server the API does. A request that the
server refuses, because it is malformed or slow, is handed on too, so that the API answers it in the one shape. A
request that waits for something new goes back to the server, and costs no thread there.
"""

REFUSAL = "devicesvc.refusal"  # in the environ: (status, detail), if the server refuses the request
PARK = "devicesvc.park"  # in the environ, if the server lets a request wait without a thread: see Parked
AT_ONCE = "devicesvc.at-once"  # in the environ: the request waited, and is to be answered now, whatever there is
STALE = "Devicesvc-Stale-Since"  # the header of an answer that was read from an older state (Store.stale_since)
READING = ("GET", "HEAD", "OPTIONS")  # the methods of calls that change nothing
MAX_BODY = 8 * 1024 * 1024  # bytes
MAX_CSV = 64 * 1024 * 1024  # bytes of a body of the type text/csv


def body_limit(content_type: str) -> int:
    """The most bytes that any call takes in a body of this Content-Type."""
    return MAX_CSV if content_type.strip().lower().startswith("text/csv") else MAX_BODY


class Parked(BaseException):
    """Raised by a call that has nothing to answer yet, if PARK is in its environ: let the request wait.

    The server runs the request again when somebody calls the function in PARK with a number greater than `after`. After
    so many seconds since it waits, or earlier if the server must, it runs it with AT_ONCE. Then the call answers.
    """

    def __init__(self, after: int, seconds: float) -> None:
        super().__init__()
        self.after = after
        self.seconds = seconds
