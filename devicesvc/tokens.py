"""Who may call the API: a file with the hashes of tokens.

Each line of the file is `<SHA-256 of the token, in hex> <read or write> <name>`; empty lines and lines that start with
# are comments. A token is 32 random bytes. Nobody can guess these, so a fast hash is as safe as a slow one.
The file is read again when it changes: if a line is deleted, its token no longer works.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devicesvc.errors import Invalid, StoreUnavailable
from devicesvc.regular_file import open_regular

SCOPES = ("read", "write")  # write includes read

_LINE = re.compile(rf"([0-9a-f]{{64}}) ({'|'.join(SCOPES)}) ([^\s\x00-\x1f\x7f-\x9f]{{1,64}})")


@dataclass(frozen=True)
class Token:
    """One line of the file, without the hash. scope: one of SCOPES."""

    name: str
    scope: str


class Tokens:
    """The tokens of a file. If the file cannot be read or has a wrong line, this class and `find` raise
    StoreUnavailable: then no token is valid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._tokens: Mapping[str, Token] = {}
        self._reload()

    def find(self, secret: str) -> Token | None:
        """Return the token with this secret, or None if there is none. Raises StoreUnavailable."""
        self._reload()
        return self._tokens.get(_digest(secret))

    def state(self) -> object:
        """An object that is the same as long as the file is. Raises StoreUnavailable."""
        self._reload()
        return self._tokens

    def _reload(self) -> None:
        try:
            stat = self._path.stat()
            stamp = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if stamp != self._stamp:
                self._tokens = _parse(_read(self._path))
                self._stamp = stamp
        except (OSError, ValueError) as error:
            raise _unusable(self._path, error) from error


def create(path: Path, name: str, scope: str) -> str:
    """Add a new token to the file, and return its secret. If the file does not exist, it is made; only its owner may
    read it.

    name: 1 to 64 characters without white space or control characters, not in the file yet. scope: one of SCOPES.
    Raises Invalid, and StoreUnavailable if the file cannot be read or written, or has a wrong line.
    """
    try:
        text = _read(path) if path.exists() else ""
        if name in (token.name for token in _parse(text).values()):
            raise Invalid({"name": f"must be new; {path} has a token called {name!r}"})
        secret = secrets.token_urlsafe(32)
        line = f"{_digest(secret)} {scope} {name}"
        if not _LINE.fullmatch(line):
            words = "without white space or control characters"
            raise Invalid({"name": f"must be 1 to 64 characters {words}, not {name!r}"})
        with open(path, "a", encoding="utf-8", opener=open_regular) as file:
            file.write(f"{line}\n" if text.endswith("\n") or not text else f"\n{line}\n")
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error
    return secret


def _read(path: Path) -> str:
    with open(path, encoding="utf-8", opener=open_regular) as file:
        return file.read()


def _unusable(path: Path, error: OSError | ValueError) -> StoreUnavailable:
    reason = error.strerror if isinstance(error, OSError) else error
    return StoreUnavailable(f"The tokens file {path} cannot be used: {reason}.")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _parse(text: str) -> Mapping[str, Token]:
    tokens = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.rstrip("\r"))
        if not match:
            raise ValueError(f"line {number} must be '<SHA-256 in hex> <{' or '.join(SCOPES)}> <name>'")
        tokens[match[1]] = Token(name=match[3], scope=match[2])
    return tokens
