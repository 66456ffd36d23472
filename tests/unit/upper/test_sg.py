"""Pass-through: what makes no sense is refused, and sg numbers are the lowest that are free."""

from __future__ import annotations

import array

import pytest

from midlayer.errors import DeviceGone, UsageError
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, FakeClock, ScriptedDriver
from midlayer.upper.sg import BoundDevice, SgDriver, execute

READ, TUR = bytes((0x28, *bytes(9))), bytes(6)


@pytest.fixture
def driver() -> ScriptedDriver:
    driver = ScriptedDriver()
    for lun in range(3):
        driver.unit(0, 0, lun).on(READ[0], Answer(data=b"abcdefgh"))
    return driver


@pytest.fixture
def device(driver: ScriptedDriver) -> LogicalUnit:
    subsystem = Subsystem(clock=FakeClock())
    subsystem.register_upper(SgDriver(first_minor=4))
    driver.start(subsystem)
    return subsystem.devices()[0]


def test_calls_that_make_no_sense(device: LogicalUnit, driver: ScriptedDriver) -> None:
    driver.commands.clear()
    strided = memoryview(bytearray(8))[::2]
    for cdb, options, message in (
        (b"12345", {}, "6 to 260 bytes, this one has 5"),
        (bytes(261), {}, "this one has 261"),
        (TUR, {"data_in": 4, "data_out": b"x"}, "not both"),
        (TUR, {"data_in": b"read only"}, "writable"),
        (TUR, {"data_in": -1}, "-1 bytes"),
        (TUR, {"data_in": 1 << 28}, "can be moved at once"),
        (TUR, {"data_in": strided}, "data_in must be contiguous"),
        (TUR, {"data_out": strided}, "data_out must be contiguous"),
    ):
        with pytest.raises(UsageError, match=message):
            execute(device, cdb, **options)  # type: ignore[arg-type]
    assert driver.commands == []


def test_buffers_of_other_shapes_count_in_bytes(device: LogicalUnit) -> None:
    numbers = array.array("I", [0, 0, 0])
    result = execute(device, READ, data_in=memoryview(numbers))
    assert (numbers.tobytes()[:8], result.residual) == (b"abcdefgh", 4)
    assert bytes(result.data) == b"abcdefgh"
    assert execute(device, TUR, data_out=memoryview(numbers)).residual == 0
    assert bytes(execute(device, READ, data_in=5).data) == b"abcde"


def test_sense_is_cut(device: LogicalUnit, driver: ScriptedDriver) -> None:
    driver.units[0, 0, 0].on(0, Answer.check(2, 0x3A))
    assert len(execute(device, TUR).sense_data) == 18
    assert len(execute(device, TUR, max_sense=8).sense_data) == 8


def test_numbers_are_the_lowest_that_are_free(device: LogicalUnit) -> None:
    subsystem = device.host.subsystem
    first, second, third = subsystem.devices()
    assert [one.names["sg"] for one in (first, second, third)] == ["sg4", "sg5", "sg6"]
    subsystem.remove_device(second)
    subsystem.remove_device(first)
    assert [subsystem.add_device(device.host, 0, 0, lun).names["sg"] for lun in (1, 0)] == ["sg4", "sg5"]


def test_a_bound_device(device: LogicalUnit) -> None:
    with BoundDevice(device) as bound:
        assert bound.execute(TUR).ok
        assert device.references == 2
    bound.close()
    assert device.references == 1
    device.host.subsystem.remove_device(device)
    with pytest.raises(DeviceGone):
        BoundDevice(device)
