"""What the image is made from agrees with the rest of the project."""

import configparser
import re

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import devicesvc
from tests.conftest import ROOT


def test_every_requirement_is_pinned_to_a_version_that_it_allows():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    pinned = dict(pins)
    wanted = [Requirement(line) for line in setup["options"]["install_requires"].split("\n") if line]
    assert len(wanted) > 10
    for each in wanted:
        version = pinned.get(canonicalize_name(each.name))
        assert version, f"{each}: make lock pins it"
        assert each.specifier.contains(version), f"{each} is pinned to {version}: make lock renews it"


def test_the_image_says_the_version_of_the_package():
    label = f'org.opencontainers.image.version="{devicesvc.__version__}"'
    assert label in (ROOT / "Dockerfile").read_text("utf-8")
