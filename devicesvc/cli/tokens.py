"""devicesvc token"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from devicesvc import tokens
from devicesvc.cli.common import one_sentence
from devicesvc.terminal import plain, table

_file_option: Callable[[Any], Any] = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="DEVICESVC_TOKENS_FILE",
    required=True,
    help="The tokens file. Default: DEVICESVC_TOKENS_FILE in the environment.",
)


@click.group()
def token() -> None:
    """Tokens, for a service that only some may call.

    A running service sees each change of them at once.
    """


@token.command("create")
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(tokens.SCOPES), required=True, help="What the token may do; write includes read."
)
@click.option(
    "--expires",
    metavar="DAY",
    help="The last day on which the token is valid, in UTC, such as 2027-01-31; or 90d: 90 days from today on.",
)
@_file_option
def create_token(name: str, scope: str, expires: str | None, file: Path) -> None:
    """Make a token called NAME, and print it. The tokens file gets only its hash."""
    with one_sentence():
        day = tokens.last_day(expires) if expires is not None else None
        secret = tokens.create(file, name, scope, day)
    click.echo(secret)
    until = f", and valid until {day}" if day else ""
    click.echo(f"Keep this token: it is not shown again{until}. Send it as  Authorization: Bearer {secret}", err=True)


@token.command("list")
@_file_option
def list_tokens(file: Path) -> None:
    """Show all tokens, but not their secrets.

    A token is valid until the end of the day on which it expires, in UTC.
    """
    with one_sentence():
        found = tokens.read_all(file)
    rows = ((plain(each.name), each.scope, _expiry(each)) for each in found)
    for line in table(("NAME", "SCOPE", "EXPIRES"), rows):
        click.echo(line)


@token.command("revoke")
@click.argument("name")
@_file_option
def revoke_token(name: str, file: Path) -> None:
    """Take back the token called NAME.

    From now on the service answers it 401.
    """
    with one_sentence():
        tokens.revoke(file, name)
    click.echo(f"The token {name!r} is no longer valid.")


def _expiry(token: tokens.Token) -> str:
    if token.expires is None:
        return "never"
    return f"{token.expires}, expired" if token.has_expired else f"{token.expires}"
