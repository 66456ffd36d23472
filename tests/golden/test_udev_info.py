"""midlayer info -a against udevadm info -a: the same devices, and the same attributes of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests import udev_packages

from midlayer.rules.describe import attribute_walk, database_lines
from midlayer.rules.sysfs_view import SysfsView

from .conftest import Judge

DEVICES = ["/sys/class/mem/null", "/sys/class/net/lo", "/sys/class/tty/tty"]
_MATCH = re.compile(r'\s*((?:KERNEL|SUBSYSTEM|DRIVER|ATTR)S?(?:\{.*\})?=="(?:.*)")$')
# Counters that move between two looks, and what only udev reads: values that are refused or are no text.
_MOVING = re.compile(r"statistics/|power/runtime|carrier_")


def matches(text: str) -> set[str]:
    found = (_MATCH.match(line) for line in text.splitlines())
    return {match[1] for match in found if match and not _MOVING.search(match[1])}


@pytest.mark.parametrize("path", [path for path in DEVICES if Path(path).exists()])
def test_attribute_walk(path: str, judge: Judge) -> None:
    view = SysfsView.find(path)
    assert view is not None
    theirs = matches(judge(str(udev_packages.udevadm()), "info", "-a", path))
    below = {line for line in theirs if "/" in line.partition("=")[0]}  # udevadm goes into power/ and queue/
    assert matches("\n".join(attribute_walk(view))) == theirs - below


@pytest.mark.parametrize("path", [path for path in DEVICES if Path(path).exists()])
def test_database_lines(path: str, judge: Judge) -> None:
    view = SysfsView.find(path)
    assert view is not None
    theirs = judge(str(udev_packages.udevadm()), "info", path).split("\n")
    mine = list(database_lines(view, view.properties))
    kept = [line for line in theirs if line and not line.startswith(("E: USEC", "L:", "I:", "Q:", "J:"))]
    assert sorted(mine) == sorted(kept)
