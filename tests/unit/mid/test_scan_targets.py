"""The scan of targets and hosts: rules SC-20 to SC-27."""

from __future__ import annotations

import pytest

from midlayer.errors import InvalidRequest
from midlayer.mid.command import Command, HostByte
from midlayer.mid.logical_unit import DeviceState
from midlayer.mid.rescan import Action, plan
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sam import lun_from_bytes, lun_to_bytes
from midlayer.standards.sense import SenseKey
from midlayer.standards.spc import encode_lun_list
from midlayer.testing import Answer, ScriptedDriver, inquiry_data

INQUIRY, REPORT_LUNS = 0x12, 0xA0
REFUSED = Answer.check(SenseKey.ILLEGAL_REQUEST, 0x20)
ATTENTION = Answer.check(SenseKey.UNIT_ATTENTION, 0x3F, 0x0E)


def luns(subsystem: Subsystem) -> list[int]:
    return [device.address.lun for device in subsystem.devices()]


def sent(driver: ScriptedDriver, opcode: int) -> list[bytes]:
    return [cdb for _, cdb in driver.commands if cdb[0] == opcode and not (opcode == INQUIRY and cdb[1] & 1)]


def populate(driver: ScriptedDriver, *numbers: int, version: int = 6) -> None:
    for lun in numbers:
        driver.unit(0, 0, lun, inquiry_data(version=version))


def test_sc_20_the_host_itself_is_not_scanned(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.this_id = 3
    driver.unit(0, 3, 0)
    driver.unit(0, 4, 0)
    driver.start(subsystem)
    assert [device.address.target for device in subsystem.devices()] == [4]
    assert "target_alloc 0:0:3" not in driver.calls


def test_sc_20_no_response_at_lun_0_ends_the_target(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    populate(driver, 1)
    driver.start(subsystem)
    assert luns(subsystem) == []
    assert sent(driver, REPORT_LUNS) == []


@pytest.mark.parametrize(
    ("version", "quirk", "max_lun", "asked"),
    [
        (6, 0, 8, True),
        (6, 1 << 18, 8, False),  # NOREPORTLUN
        (1, 0, 8, False),
        (0, 0, 8, False),
        (2, 0, 255, False),
        (2, 1 << 17, 8, False),  # REPORTLUN2, but the host has 8 LUNs only
        (2, 1 << 17, 9, True),
        (3, 0, 8, True),
    ],
)
def test_sc_21_who_is_asked_for_luns(
    subsystem: Subsystem, driver: ScriptedDriver, version: int, quirk: int, max_lun: int, asked: bool
) -> None:
    subsystem.quirks.add(f"SCRIPTED:Scripted disk:{quirk}")
    driver.max_lun = max_lun
    populate(driver, 0, 1, version=version)
    driver.start(subsystem)
    assert bool(sent(driver, REPORT_LUNS)) is asked
    assert luns(subsystem) == [0, 1]


def test_sc_21_quirk_nolun_and_a_target_that_will_not_be_asked(
    subsystem: Subsystem, driver: ScriptedDriver
) -> None:
    def hook(name: str, subject: object) -> None:
        if name == "target_alloc":
            subject.no_report_luns = True  # type: ignore[attr-defined]

    driver.hook = hook
    subsystem.quirks.add("ONE:Scripted disk:1")
    populate(driver, 0, 1, 3)
    driver.unit(0, 1, 0, inquiry_data(vendor="ONE"))
    driver.unit(0, 1, 1, inquiry_data(vendor="ONE"))
    driver.start(subsystem)
    assert [tuple(device.address)[2:] for device in subsystem.devices()] == [(0, 0), (0, 1), (1, 0)]
    assert sent(driver, REPORT_LUNS) == []


def test_sc_22_the_command(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    limits: list[float] = []

    def answer(command: Command) -> Answer:
        limits.append(command.timeout_s)
        return Answer(data=encode_lun_list([0]))

    driver.unit(0, 0, 0).on(REPORT_LUNS, answer)
    driver.start(subsystem)
    assert sent(driver, REPORT_LUNS) == [bytes.fromhex("a00000000000000010000000")]
    assert limits == [30.0]


@pytest.mark.parametrize(
    ("failure", "tries"),
    [
        (ATTENTION, 4),
        (Answer(host_byte=HostByte.DID_ERROR), 4),
        (Answer(status=0x18), 4),
        (REFUSED, 1),
    ],
)
def test_sc_22_retries_and_then_one_by_one(
    subsystem: Subsystem, driver: ScriptedDriver, failure: Answer, tries: int
) -> None:
    populate(driver, 0, 1, 3)
    driver.units[0, 0, 0].on(REPORT_LUNS, failure)
    driver.start(subsystem)
    assert len(sent(driver, REPORT_LUNS)) == tries
    assert luns(subsystem) == [0, 1]


def test_sc_22_a_longer_list_is_asked_for_again(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.max_lun = 4096
    populate(driver, *range(600))
    driver.start(subsystem)
    lengths = [int.from_bytes(cdb[6:10], "big") for cdb in sent(driver, REPORT_LUNS)]
    assert lengths == [4096, 600 * 8 + 8]
    assert luns(subsystem) == list(range(600))


@pytest.mark.parametrize("data", [b"", bytes(7), b"\xff" * 16])
def test_sc_22_lists_that_are_none(subsystem: Subsystem, driver: ScriptedDriver, data: bytes) -> None:
    populate(driver, 0, 1)
    driver.units[0, 0, 0].on(REPORT_LUNS, Answer(data=data))
    driver.start(subsystem)
    assert 0 in luns(subsystem)


@pytest.mark.parametrize("state", [DeviceState.BLOCKED, DeviceState.QUIESCE])
def test_sc_22_a_held_lun_0_does_not_hold_the_scan(
    subsystem: Subsystem, driver: ScriptedDriver, caplog: pytest.LogCaptureFixture, state: DeviceState
) -> None:
    populate(driver, 0, 1)
    host = driver.start(subsystem)
    subsystem.set_device_state(subsystem.devices()[0], state)
    populate(driver, 2)
    subsystem.scan_host(host, 0, 0)
    assert luns(subsystem) == [0, 1]
    assert f"0:0:0:0: {state.value}, so its target can not be asked" in caplog.text
    steps = plan(subsystem, host, remove=True)
    assert [(step.action, step.address) for step in steps] == [(Action.KEEP, "0:0:0:0")]


def test_sc_23_luns_beyond_the_host(
    subsystem: Subsystem, driver: ScriptedDriver, caplog: pytest.LogCaptureFixture
) -> None:
    driver.max_lun = 8
    populate(driver, 0, 8, 9, 0xC101)
    driver.start(subsystem)
    assert luns(subsystem) == [0, 8]  # the kernel, too, takes LUN max_lun from a list
    assert "0:0:0: lun9 has a LUN larger than allowed by the host adapter" in caplog.text
    assert "lun49409" in caplog.text


def test_sc_23_no_response_ends_the_list(
    subsystem: Subsystem, driver: ScriptedDriver, caplog: pytest.LogCaptureFixture
) -> None:
    populate(driver, 0, 1, 2, 3)
    driver.units[0, 0, 2].on(INQUIRY, Answer(host_byte=HostByte.DID_ERROR))
    driver.start(subsystem)
    assert luns(subsystem) == [0, 1]
    assert "Unexpected response from lun 2 while scanning, scan aborted" in caplog.text


def test_sc_24_a_temporary_lun_0_goes_and_vanished_luns_stay(
    subsystem: Subsystem, driver: ScriptedDriver
) -> None:
    populate(driver, 0, 1, 2)
    driver.units[0, 0, 0].inquiry = inquiry_data(qualifier=3, device_type=0x1F)
    host = driver.start(subsystem)
    assert luns(subsystem) == [1, 2]
    assert driver.calls.count("slave_alloc 0:0:0:0") == driver.calls.count("slave_destroy 0:0:0:0") > 0
    del driver.units[0, 0, 2]
    subsystem.scan_host(host)
    assert luns(subsystem) == [1, 2]


@pytest.mark.parametrize(
    ("quirk", "version", "there", "max_lun", "found"),
    [
        (0, 6, {0, 1, 2, 4}, 512, [0, 1, 2]),
        (1 << 6, 6, {0, 2, 7, 255, 256}, 512, [0, 2, 7, 255]),  # SPARSELUN
        (1 << 1, 6, {0, 1, 3}, 512, [0, 1]),  # FORCELUN
        (1 << 6 | 1 << 7, 6, {0, 4, 5}, 512, [0, 4]),  # MAX5LUN
        (1 << 6, 2, {0, 7, 8}, 512, [0, 7]),
        (1 << 6 | 1 << 9, 2, {0, 7, 8}, 512, [0, 7, 8]),  # LARGELUN
        (1 << 6, 6, {0, 3, 4}, 4, [0, 3]),
    ],
)
def test_sc_25_sequential(
    subsystem: Subsystem,
    driver: ScriptedDriver,
    quirk: int,
    version: int,
    there: set[int],
    max_lun: int,
    found: list[int],
) -> None:
    subsystem.quirks.add(f"SCRIPTED:Scripted disk:{quirk}")
    driver.max_lun = max_lun
    for lun in range(max(there) + 2):
        absent = {"qualifier": 3, "device_type": 0x1F} if lun not in there else {}
        driver.unit(0, 0, lun, inquiry_data(version=version, **absent))
    driver.units[0, 0, 0].on(REPORT_LUNS, REFUSED)
    driver.start(subsystem)
    assert luns(subsystem) == found


def test_sc_25_begins_at_lun_1_even_if_lun_0_is_no_device(
    subsystem: Subsystem, driver: ScriptedDriver
) -> None:
    populate(driver, 0, 1, 2)
    driver.units[0, 0, 0].inquiry = inquiry_data(qualifier=3, device_type=0x1F)
    driver.units[0, 0, 0].on(REPORT_LUNS, REFUSED)
    driver.start(subsystem)
    assert luns(subsystem) == [1, 2]


def test_sc_26_luns_as_integers(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    eight = bytes.fromhex("d2040b0300000000")
    assert lun_from_bytes(eight) == 0x0B03D204
    assert lun_to_bytes(0x0B03D204) == eight
    driver.max_lun = 1 << 32
    populate(driver, 0, 0x0B03D204, 0x412C)
    driver.start(subsystem)
    assert luns(subsystem) == [0, 0x412C, 0x0B03D204]


@pytest.mark.parametrize(
    ("place", "word"),
    [((2, 0, 0), "channel"), ((0, 8, 0), "target"), ((0, 0, 8), "lun"), ((-1, 0, 0), "channel")],
)
def test_sc_27_numbers_beyond_the_host(
    subsystem: Subsystem, driver: ScriptedDriver, place: tuple[int, int, int], word: str
) -> None:
    driver.max_channel = 1
    host = driver.start(subsystem, scan=False)
    with pytest.raises(InvalidRequest, match=word):
        subsystem.scan_host(host, *place)
    assert driver.calls == []


def test_sc_27_wildcards(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.max_channel = 1
    for channel in (0, 1):
        driver.unit(channel, 7, 0)
        driver.unit(channel, 7, 7)
    host = driver.start(subsystem, scan=False)
    subsystem.scan_host(host, 1, None, 7)
    assert [str(device.address) for device in subsystem.devices()] == ["0:1:7:7"]
    subsystem.scan_host(host, None, 7, None)
    assert len(subsystem.devices()) == 4
