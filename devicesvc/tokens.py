"""Who may call the API: a file with the hashes of tokens.

Each line of the file is `<SHA-256 of the token, in hex> <read or write> <name>`, and perhaps the last day on which the
token is valid, in UTC, as in 2027-01-31. Empty lines and lines that start with # are comments. A token is 32 random
bytes. Nobody can guess these, so a fast hash is as safe as a slow one. The file is read again when it changes: if a
line is deleted, its token no longer works.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from devicesvc.dao import durable_file, lock_file
from devicesvc.errors import Invalid, NotFound, StoreUnavailable
from devicesvc.regular_file import open_regular

SCOPES = ("read", "write")  # write includes read
PATIENCE = 5.0  # seconds to wait for another edit of the file

_NAME = r"[^\s\x00-\x1f\x7f-\x9f]{1,64}"
_LINE = re.compile(rf"([0-9a-f]{{64}}) ({'|'.join(SCOPES)}) ({_NAME})(?: ([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}))?")
_DAYS = re.compile("([0-9]{1,5})d")


@dataclass(frozen=True)
class Token:
    """One line of the file, without the hash. scope: one of SCOPES. expires: the last day on which it is valid, in UTC;
    None if it does not expire."""

    name: str
    scope: str
    expires: date | None = None

    @property
    def has_expired(self) -> bool:
        """Whether it is no longer valid."""
        return self.expires is not None and self.expires < today()


class Tokens:
    """The tokens of a file. If the file cannot be read or has a wrong line, this class and `find` raise
    StoreUnavailable: then no token is valid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: object = None
        self._tokens: Mapping[str, Token] = {}
        self._reload()

    def find(self, secret: str) -> Token | None:
        """Return the token with this secret, or None if there is none. It may have expired. Raises StoreUnavailable."""
        self._reload()
        return self._tokens.get(_digest(secret))

    def state(self) -> object:
        """An object that is the same as long as the same tokens are valid. Raises StoreUnavailable."""
        self._reload()
        return self._tokens

    def _reload(self) -> None:
        with _usable(self._path):
            stat = self._path.stat()
            # With the day: when it ends, tokens expire.
            stamp = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, today())
            if stamp != self._stamp:
                self._tokens = _parse(_read(self._path))
                self._stamp = stamp


def create(path: Path, name: str, scope: str, expires: date | None = None) -> str:
    """Add a new token to the file, and return its secret. If the file does not exist, it is made; only its owner may
    read it.

    name: 1 to 64 characters without white space or control characters, not in the file yet. scope: one of SCOPES.
    expires: the last day on which the token is valid, in UTC. Raises Invalid, and StoreUnavailable if the file cannot
    be read or written, or has a wrong line.
    """
    if not re.fullmatch(_NAME, name):
        words = "without white space or control characters"
        raise Invalid({"name": f"must be 1 to 64 characters {words}, not {name!r}"})
    if expires and expires < today():
        raise Invalid({"expires": f"must be today or a later day, not {expires}"})
    secret = secrets.token_urlsafe(32)

    def add(text: str) -> str:
        if name in (token.name for token in _parse(text).values()):
            raise Invalid({"name": f"must be new; {path} has a token called {name!r}"})
        line = f"{_digest(secret)} {scope} {name}" + (f" {expires}" if expires else "")
        return f"{text}{line}\n" if text.endswith("\n") or not text else f"{text}\n{line}\n"

    if not path.exists():
        with _usable(path):
            os.close(open_regular(path, os.O_WRONLY | os.O_CREAT))  # from its first moment only its owner may read it
    _edit(path, add)
    return secret


def revoke(path: Path, name: str) -> None:
    """Take the token of this name out of the file: from now on it is not valid. All other lines stay as they are.

    Raises NotFound if there is no such token, and StoreUnavailable if the file cannot be read or written, or has a
    wrong line.
    """

    def remove(text: str) -> str:
        if name not in (token.name for token in _parse(text).values()):
            raise NotFound(f"{path} has no token called {name!r}: devicesvc token list names all.")
        found = [(line, _LINE.fullmatch(line.rstrip("\r"))) for line in text.split("\n")]
        return "\n".join(line for line, match in found if not (match and match[3] == name))

    _edit(path, remove)


def read_all(path: Path) -> list[Token]:
    """All tokens of the file, in its order. Raises StoreUnavailable if it cannot be read or has a wrong line."""
    with _usable(path):
        return list(_parse(_read(path)).values())


def last_day(text: str) -> date:
    """Read when a token expires: a day such as 2027-01-31, or a number of days from today on, such as 90d. Raises
    Invalid."""
    try:
        days = _DAYS.fullmatch(text)
        return today() + timedelta(int(days[1])) if days else date.fromisoformat(text)
    except ValueError as error:
        words = "must be a day such as 2027-01-31, or a number of days such as 90d"
        raise Invalid({"expires": f"{words}, not {text!r}"}) from error


def today() -> date:
    """The day that it is now in UTC."""
    return datetime.now(UTC).date()


def _edit(path: Path, change: Callable[[str], str]) -> None:
    """Replace the file as a whole; it keeps its mode and its owner. change: makes the new text of the old one."""
    with _usable(path):
        _read(path)  # what is not a file is refused before a lock is made beside it
        file = path.resolve()  # not a link to it
        with lock_file.locked(file, PATIENCE):
            durable_file.sweep([file])
            written = durable_file.prepare({file: [change(_read(file)).encode()]})
            try:
                durable_file.publish(written)
            finally:
                durable_file.discard(written)


def _read(path: Path) -> str:
    with open(path, encoding="utf-8", newline="", opener=open_regular) as file:
        return file.read()


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Say in one sentence why the file cannot be used. Raises StoreUnavailable."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreUnavailable(f"The tokens file {path} cannot be used: {reason}.") from error


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _parse(text: str) -> Mapping[str, Token]:
    tokens = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.rstrip("\r"))
        try:
            if not match:
                raise ValueError
            tokens[match[1]] = Token(match[3], match[2], date.fromisoformat(match[4]) if match[4] else None)
        except ValueError:
            words = f"'<SHA-256 in hex> <{' or '.join(SCOPES)}> <name>', and perhaps a day such as 2027-01-31"
            raise ValueError(f"line {number} must be {words}") from None
    return tokens
