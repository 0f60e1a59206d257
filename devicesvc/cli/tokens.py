"""devicesvc token"""

from pathlib import Path

import click

from devicesvc import tokens
from devicesvc.cli.common import one_sentence


@click.group()
def token() -> None:
    """Tokens, for a service that only some may call."""


@token.command("create")
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(tokens.SCOPES), required=True, help="What the token may do; write includes read."
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="DEVICESVC_TOKENS_FILE",
    required=True,
    help="The tokens file. Default: DEVICESVC_TOKENS_FILE in the environment.",
)
def create_token(name: str, scope: str, file: Path) -> None:
    """Make a token called NAME, and print it. The tokens file gets only its hash."""
    with one_sentence():
        secret = tokens.create(file, name, scope)
    click.echo(secret)
    click.echo(f"Keep this token: it is not shown again. Send it as  Authorization: Bearer {secret}", err=True)
