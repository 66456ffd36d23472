"""Devices without a daemon, and the names that the package offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import midlayer
from midlayer.errors import DeviceUrlError, NodeError, UsageError


def test_a_virtual_device_lives_as_long_as_it_is_open() -> None:
    with midlayer.open_device("virtual:disk?size=1M&product=Mine") as device:
        assert device.logical_unit.model == "Mine"
        assert device.execute(bytes(6)).ok
        unit = device.logical_unit
    assert unit.host.subsystem.hosts() == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("virtual:disk?qualifier=011b", "the scan adds no device for this qualifier and type"),
        ("virtual:disk?count=2", "count must be 1"),
    ],
)
def test_what_can_not_be_opened(text: str, says: str) -> None:
    with pytest.raises(DeviceUrlError, match=says) as refused:
        midlayer.open_device(text)
    assert "secret" not in str(refused.value)


def test_a_mistake_in_an_option() -> None:
    with pytest.raises(UsageError, match=r"did you mean size\?"):
        midlayer.open_device("virtual:disk?sise=1G")


def test_a_kernel_device_that_is_not_there() -> None:
    with pytest.raises(NodeError) as refused:
        midlayer.open_device("4242:0:0:0")
    assert str(refused.value).startswith("4242:0:0:0: this kernel has no device at this address")
    assert refused.value.errno == 19
    with pytest.raises(NodeError, match=r"^/dev/sg4242: no such node"):
        midlayer.open_device("/dev/sg4242")


def test_every_public_name_is_there() -> None:
    for name in midlayer.__all__:
        assert getattr(midlayer, name) is not None
        assert name in dir(midlayer)
    with pytest.raises(AttributeError, match="module 'midlayer' has no attribute 'nothing'"):
        midlayer.nothing  # noqa: B018


def test_import_midlayer_imports_little() -> None:
    code = "import sys, midlayer; print(*(name for name in sys.modules if name.startswith('midlayer')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"midlayer", "midlayer.version"}


def test_keys_of_an_iscsi_session_are_checked() -> None:
    with pytest.raises(UsageError, match=r"sekret: there is no such key; did you mean secret\?"):
        midlayer.open_device("iscsi://127.0.0.1:1/iqn.2026-11.io.x:y/1?sekret=x")
