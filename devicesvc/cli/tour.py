"""devicesvc tour"""

import signal
import sys

import click

from devicesvc.cli.common import one_sentence
from devicesvc.cli.remote import token_option, url_argument


@click.command()
@url_argument
@token_option
def tour(url: str, token: str | None) -> None:
    """Try all calls of the lab, and some others, on a service.

    URL is its address. Default: DEVICESVC_URL in the environment, or http://localhost:8000. Shows each call and its
    answer, and checks the answer. The last line begins with ok if all answers are right; otherwise each difference is
    named and the exit code is 1. The tour deletes only what it has added, so at the end the registry has the same
    content as before, also after Ctrl-C.
    """
    from devicesvc.tour import run  # not at the top: the service does not need it

    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(each, signal.default_int_handler)  # as Ctrl-C: the changes are undone
    try:
        with one_sentence():
            sys.exit(1 if run(url, token) else 0)
    except KeyboardInterrupt:
        click.echo("Interrupted: the tour has undone its changes, except for those named above.", err=True)
        sys.exit(130)
