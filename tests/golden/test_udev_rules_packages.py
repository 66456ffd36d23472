"""Rule files as Debian's packages ship them: each is read whole, and gives what udevadm test gives."""

from __future__ import annotations

import pytest
from tests import rule_judge, udev_packages

from midlayer.rules import parse

from .test_udev_rules_language import LOOPBACK, NULL, skip_without_namespace

UDEVS_OWN_BUILTINS = ("ID_NET_", "ID_PATH")
"""What needs udev's own code for network interfaces: net_id, net_setup_link, path_id of other buses."""


@pytest.mark.parametrize("package", udev_packages.PACKAGES)
def test_every_shipped_file_is_read_without_an_error(package: str) -> None:
    paths = sorted(udev_packages.rules_directory(package).glob("*.rules"))
    assert paths
    files = [parse(path.read_bytes(), path.name) for path in paths]
    assert [str(mistake) for file in files for mistake in file.errors] == []
    assert sum(len(file.rules) for file in files) > 3 * len(files)


def test_a_missing_comma_in_a_shipped_file_is_found() -> None:
    path = udev_packages.rules_directory("kpartx") / "56-dm-parts.rules"
    (mistake,) = parse(path.read_bytes(), path.name).mistakes
    assert str(mistake) == "56-dm-parts.rules:35:2: warning: no comma before SYMLINK; write one"


@pytest.mark.parametrize("device", [NULL, LOOPBACK])
@pytest.mark.parametrize("action", ["add", "change", "remove"])
def test_all_shipped_rules_together(device: str, action: str) -> None:
    skip_without_namespace()
    rules = udev_packages.rule_files()
    judged = rule_judge.udevadm_test(device, rules, action)
    outcome = rule_judge.ours(device, rules, action)
    assert rule_judge.difference(outcome, judged, but=UDEVS_OWN_BUILTINS) == []
