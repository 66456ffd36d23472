"""Unit attentions reach whoever listens, from whatever command, and the command's result stays what it is."""

from __future__ import annotations

import pytest

from midlayer.mid.attention import KERNEL_NAMES, tell_kernel_attention
from midlayer.mid.dispatch import execute
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import ScriptedDriver
from midlayer.testing.scripted import Answer

TEST_UNIT_READY = bytes(6)


def test_a_unit_attention_is_told_and_returned(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    unit = driver.unit(0, 0, 0)
    (device,) = driver.start(subsystem).devices()
    told: list[tuple[object, int, int]] = []
    subsystem.attention = lambda device, asc, ascq: told.append((device, asc, ascq))
    unit.on(0x00, Answer.check(6, 0x3F, 0x0E), Answer.check(2, 4, 2), Answer())
    for _ in range(3):
        execute(device, TEST_UNIT_READY, passthrough=True)
    assert told == [(device, 0x3F, 0x0E)]


def test_a_listener_that_raises_harms_no_command(
    subsystem: Subsystem, driver: ScriptedDriver, caplog: pytest.LogCaptureFixture
) -> None:
    unit = driver.unit(0, 0, 0)
    (device,) = driver.start(subsystem).devices()

    def raises(*_: object) -> None:
        raise ValueError("a mistake")

    subsystem.attention = raises
    unit.on(0x00, Answer.check(6, 0x29, 0x00))
    result = execute(device, TEST_UNIT_READY, passthrough=True)
    assert result.sense is not None
    assert result.sense.asc == 0x29
    assert "the listener for unit attentions raised" in caplog.text


def test_the_kernels_names(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.unit(0, 0, 0)
    (device,) = driver.start(subsystem).devices()
    tell_kernel_attention(device, "INQUIRY_DATA_HAS_CHANGED")  # nobody listens
    told: list[tuple[int, int]] = []
    subsystem.attention = lambda device, asc, ascq: told.append((asc, ascq))
    for name in (*KERNEL_NAMES, "", "SOMETHING_NEW"):
        tell_kernel_attention(device, name)
    assert told == list(KERNEL_NAMES.values())
