"""A running service for the commands that call one."""

import pytest
from click.testing import CliRunner

from devicesvc.cli import main
from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES
from tests.conftest import served


@pytest.fixture
def registry(tmp_path):
    """The sample devices."""
    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        yield store


@pytest.fixture
def service_url(registry, app_over, monkeypatch):
    """Where the registry is served; the environment says so too."""
    with served(app_over(registry)) as url:
        monkeypatch.setenv("DEVICESVC_URL", url)
        yield url


@pytest.fixture
def run(service_url):  # noqa: ARG001 - it sets DEVICESVC_URL
    """Run a command to its end."""
    return lambda *arguments, **options: CliRunner().invoke(main, arguments, **options)


@pytest.fixture
def done(run):
    """Run a command that must succeed, and give what it printed."""

    def done(*arguments, **options):
        ended = run(*arguments, **options)
        assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
        return ended.stdout

    return done


@pytest.fixture
def refused(run):
    """Run a command that must fail with one sentence, and give the sentence."""

    def refused(*arguments, **options):
        ended = run(*arguments, **options)
        assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1), ended.output
        return ended.stderr.removeprefix("Error: ").rstrip("\n")

    return refused
