"""The examples run, and the documents that show them stay true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import midlayer
from midlayer.frontends.config import load

ROOT = Path(__file__).parent.parent.parent


def test_the_example_driver_scans_and_answers() -> None:
    example = ROOT / "examples" / "ramdisk_driver.py"
    done = subprocess.run([sys.executable, str(example)], check=True, capture_output=True, text=True)
    assert "0:0:0:0 READ(10) lba=0 blocks=1: GOOD" in done.stdout
    assert "examples/ramdisk_driver.py" in (ROOT / "docs" / "writing-a-driver.md").read_text()


def test_the_default_configuration_has_devices_of_several_kinds() -> None:
    config = load(ROOT / "examples" / "default.toml")
    (host,) = config.virtual_hosts
    assert config.kernel
    assert len({unit.type for unit in host.units}) >= 4
    assert [unit.lun for unit in host.units if unit.qualifier == 1] == [3]


def test_the_package_example_is_true() -> None:
    with midlayer.open_device("virtual:disk?size=1M") as disk:
        assert str(disk.execute(bytes(6))) == "0:0:0:0 TEST UNIT READY: GOOD"
