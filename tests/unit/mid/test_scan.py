"""The scan of one LUN: rules SC-1 to SC-14."""

from __future__ import annotations

import errno
import logging

import pytest

from midlayer.address import Address
from midlayer.errors import NoSuchDevice
from midlayer.mid.command import HostByte
from midlayer.mid.events import UpperDriver
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sense import SenseKey
from midlayer.testing import Answer, ScriptedDriver, inquiry_data
from midlayer.upper.sg import SgDriver, execute

INQUIRY, REPORT_LUNS, READ_10 = 0x12, 0xA0, 0x28
TIMED_OUT = Answer(host_byte=HostByte.DID_TIME_OUT)
POWERED_ON = Answer.check(SenseKey.UNIT_ATTENTION, 0x29)


def inquiries(driver: ScriptedDriver, lun: int = 0) -> list[int]:
    """Return the allocation lengths of the standard INQUIRY commands that a LUN of target 0 has seen."""
    place = (0, 0, 0, lun)
    cdbs = [cdb for address, cdb in driver.commands if address == place and cdb[0] == INQUIRY]
    return [int.from_bytes(cdb[3:5], "big") for cdb in cdbs if not cdb[1] & 1]


def luns(subsystem: Subsystem) -> list[int]:
    return [device.address.lun for device in subsystem.devices()]


def test_sc_01_a_known_device_gets_no_new_inquiry(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.unit(0, 0, 0)
    host = driver.start(subsystem)
    (device,) = subsystem.devices()
    driver.commands.clear()
    subsystem.scan_host(host, 0, 0)
    assert inquiries(driver) == []
    assert subsystem.devices() == [device]
    assert subsystem.add_device(host, 0, 0, 0) is device


def test_sc_02_slave_alloc_sees_a_created_device_of_depth_cmd_per_lun(
    subsystem: Subsystem, driver: ScriptedDriver
) -> None:
    seen: list[tuple[DeviceState, int]] = []

    def hook(name: str, subject: object) -> None:
        if name == "slave_alloc" and isinstance(subject, LogicalUnit):
            seen.append((subject.state, subject.queue_depth))

    driver.unit(0, 0, 0)
    driver.hook = hook
    host = driver.start(subsystem, scan=False)
    subsystem.add_device(host, 0, 0, 0)
    assert seen == [(DeviceState.CREATED, driver.cmd_per_lun)]


@pytest.mark.parametrize(("refusal", "logged"), [(errno.ENXIO, False), (errno.ENOMEM, True)])
def test_sc_02_a_refused_device_is_dropped(
    subsystem: Subsystem,
    driver: ScriptedDriver,
    caplog: pytest.LogCaptureFixture,
    refusal: int,
    logged: bool,
) -> None:
    driver.unit(0, 0, 0)
    driver.refusals["slave_alloc"] = refusal
    host = driver.start(subsystem)
    assert driver.commands == []
    assert not [call for call in driver.calls if call.startswith("slave_destroy")]
    assert host.references == 1
    assert ("slave_alloc refused" in caplog.text) is logged


def test_sc_03_inquiry_has_36_bytes_and_20_5_seconds(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    limits: list[float] = []

    def answer(command: object) -> Answer:
        limits.append(command.timeout_s)  # type: ignore[attr-defined]
        return Answer(data=inquiry_data())

    driver.unit(0, 0, 0).on(INQUIRY, answer)
    driver.start(subsystem)
    assert inquiries(driver) == [36]
    assert limits[0] == 20.5


def test_sc_03_three_passes_if_no_data_comes(
    subsystem: Subsystem, driver: ScriptedDriver, caplog: pytest.LogCaptureFixture
) -> None:
    driver.unit(0, 0, 0, b"")
    driver.unit(0, 1, 0)
    driver.start(subsystem)
    silent, other = subsystem.devices()
    assert str(other.address) == "0:0:1:0"
    inquiries = [cdb for address, cdb in driver.commands if address.lun == address.target == 0 == cdb[1]]
    assert len([cdb for cdb in inquiries if cdb[0] == INQUIRY]) == 3
    assert "0:0:0:0: INQUIRY ended well three times, each time without data" in caplog.text
    assert (silent.vendor, silent.type, silent.scsi_level, any(silent.inquiry_data)) == ("", 0, 0, False)


@pytest.mark.parametrize("data", [b"\xff" * 5, b"\xff" * 36, b"\x00" * 5, bytes(range(0x80, 0xA4))])
def test_sc_03_wrong_bytes_do_no_harm(
    subsystem: Subsystem, driver: ScriptedDriver, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    driver.unit(0, 0, 0, data)
    driver.unit(0, 1, 0)
    host = driver.start(subsystem)
    assert subsystem.device(Address(0, 0, 1, 0)).vendor == "SCRIPTED"
    assert ("too short for vendor, product and revision" in caplog.text) is (len(data) < 36)
    subsystem.remove_host(host)
    host.put()
    assert driver.calls[-1] == "release 0"


def test_sc_03_unit_attention_is_retried_three_times(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    unit = driver.unit(0, 0, 0)
    unit.on(INQUIRY, POWERED_ON, POWERED_ON, POWERED_ON, Answer(data=inquiry_data(version=2)))
    driver.start(subsystem)
    assert luns(subsystem) == [0]
    assert inquiries(driver) == [36] * 4


def test_sc_03_a_fourth_unit_attention_is_final(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.unit(0, 0, 0).on(INQUIRY, POWERED_ON)
    driver.start(subsystem)
    assert luns(subsystem) == []
    assert inquiries(driver) == [36] * 4


@pytest.mark.parametrize(("timeouts", "found", "sent"), [(1, [0], 2), (2, [], 2)])
def test_sc_03_a_time_out_is_retried_once(
    subsystem: Subsystem, driver: ScriptedDriver, timeouts: int, found: list[int], sent: int
) -> None:
    driver.unit(0, 0, 0).on(INQUIRY, *[TIMED_OUT] * timeouts, Answer(data=inquiry_data(version=2)))
    driver.start(subsystem)
    assert luns(subsystem) == found
    assert len(inquiries(driver)) == sent


@pytest.mark.parametrize(
    ("additional", "lengths"), [(31, [36]), (10, [36]), (91, [36, 96]), (250, [36, 255]), (251, [36])]
)
def test_sc_04_the_second_inquiry_has_the_announced_length(
    subsystem: Subsystem, driver: ScriptedDriver, additional: int, lengths: list[int]
) -> None:
    data = bytearray(inquiry_data(version=2).ljust(256, b"x"))
    data[4] = additional
    driver.unit(0, 0, 0, bytes(data))
    driver.start(subsystem)
    assert inquiries(driver) == lengths
    assert len(subsystem.devices()[0].inquiry_data) == min(lengths[-1], additional + 5)


def test_sc_04_quirk_inquiry_36(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    subsystem.quirks.add("SCRIPTED:Scripted disk:0x400")
    driver.unit(0, 0, 0, inquiry_data(version=2, length=96))
    driver.start(subsystem)
    assert inquiries(driver) == [36]


@pytest.mark.parametrize(
    ("limit", "version", "additional", "lengths"),
    [
        (64, 2, 91, [64]),
        (64, 5, 91, [64]),
        (64, 6, 91, [64, 96]),
        (36, 6, 91, [36, 96]),
        (64, 2, 31, [64]),
        (64, 6, 251, [64]),
    ],
)
def test_sc_04_a_driver_sets_a_limit_for_old_devices(
    subsystem: Subsystem,
    driver: ScriptedDriver,
    limit: int,
    version: int,
    additional: int,
    lengths: list[int],
) -> None:
    def hook(name: str, subject: object) -> None:
        if name == "slave_alloc":
            subject.inquiry_len = limit  # type: ignore[attr-defined]

    driver.hook = hook
    data = bytearray(inquiry_data(version=version).ljust(256, b"x"))
    data[4] = additional
    driver.unit(0, 0, 0, bytes(data))
    driver.start(subsystem)
    assert inquiries(driver) == lengths


def test_sc_04_a_failed_second_inquiry_falls_back(
    subsystem: Subsystem, driver: ScriptedDriver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    long = Answer(data=inquiry_data(version=2, length=96))
    driver.unit(0, 0, 0).on(INQUIRY, long, Answer.check(SenseKey.ILLEGAL_REQUEST, 0x24), long)
    driver.start(subsystem)
    assert inquiries(driver) == [36, 96, 36]
    assert "consider the quirk INQUIRY_36" in caplog.text
    assert luns(subsystem) == [0]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(host_byte=HostByte.DID_NO_CONNECT),
        Answer.check(SenseKey.HARDWARE_ERROR),
        Answer(status=0x18),
        Answer(raises=RuntimeError("broken")),
    ],
)
def test_sc_05_a_failed_inquiry_is_no_response(
    subsystem: Subsystem, driver: ScriptedDriver, answer: Answer
) -> None:
    driver.unit(0, 0, 0).on(INQUIRY, answer)
    driver.start(subsystem)
    assert luns(subsystem) == []
    assert inquiries(driver) == [36]  # and no REPORT LUNS


def test_sc_06_strings(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    data = bytearray(inquiry_data(version=2))
    data[8:36] = b"AB\x01\xffC\0ZZ" + b"Model\0secret    " + b"1.0 "
    driver.unit(0, 0, 0, bytes(data))
    driver.start(subsystem)
    (device,) = subsystem.devices()
    assert (device.vendor, device.model, device.revision) == ("AB  C", "Model", "1.0")


@pytest.mark.parametrize(
    ("version", "response_format", "level"),
    [(0, 0, 0), (1, 0, 1), (1, 1, 2), (2, 2, 3), (3, 2, 4), (6, 2, 7), (0x86, 2, 7)],
)
def test_sc_07_scsi_level(
    subsystem: Subsystem, driver: ScriptedDriver, version: int, response_format: int, level: int
) -> None:
    data = bytearray(inquiry_data())
    data[2:4] = bytes((version, response_format))
    driver.unit(0, 0, 0, bytes(data))
    driver.start(subsystem)
    assert subsystem.devices()[0].scsi_level == level


@pytest.mark.parametrize(
    ("version", "host_says_no", "byte_1"),
    [(2, False, 0x6A), (2, True, 0x0A), (3, False, 0x0A), (0, False, 0x0A)],
)
def test_sc_08_lun_bits_in_byte_1(
    subsystem: Subsystem, driver: ScriptedDriver, version: int, host_says_no: bool, byte_1: int
) -> None:
    for lun in range(4):
        driver.unit(0, 0, lun, inquiry_data(version=version))
    driver.no_scsi2_lun_in_cdb = host_says_no
    driver.start(subsystem)
    device = subsystem.device(Address(0, 0, 0, 3))
    driver.commands.clear()
    execute(device, bytes((READ_10, 0x0A, *bytes(8))))
    assert driver.commands[0][1][1] == byte_1


def test_sc_08_the_first_inquiry_has_the_level_of_its_target(
    subsystem: Subsystem, driver: ScriptedDriver
) -> None:
    driver.unit(0, 0, 0, inquiry_data(version=2))
    driver.unit(0, 0, 1, inquiry_data(version=2))
    driver.start(subsystem)
    first = next(cdb for address, cdb in driver.commands if address.lun == 1)
    assert first[:2] == bytes((INQUIRY, 1 << 5))


def test_sc_09_qualifier_3_is_not_added(
    subsystem: Subsystem, driver: ScriptedDriver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    driver.unit(0, 0, 0, inquiry_data(qualifier=3, device_type=0x1F))
    driver.unit(0, 0, 2)
    host = driver.start(subsystem)
    assert luns(subsystem) == [2]  # the target is present: REPORT LUNS follows
    assert "try the quirk SCRIPTED:Scripted disk:0x240" in caplog.text
    with pytest.raises(NoSuchDevice):
        subsystem.add_device(host, 0, 0, 0)


@pytest.mark.parametrize(
    ("qualifier", "alone", "lun", "added"),
    [(1, False, 1, False), (0, True, 1, False), (0, False, 1, True), (1, False, 0xC101, True)],
)
def test_sc_10_type_1f(
    subsystem: Subsystem, driver: ScriptedDriver, qualifier: int, alone: bool, lun: int, added: bool
) -> None:
    def hook(name: str, subject: object) -> None:
        if name == "target_alloc":
            subject.pdt_1f_for_no_lun = alone  # type: ignore[attr-defined]

    driver.hook = hook
    driver.max_lun = 0x10000
    driver.unit(0, 0, 0)
    driver.unit(0, 0, lun, inquiry_data(qualifier=qualifier, device_type=0x1F))
    driver.start(subsystem)
    assert (lun in luns(subsystem)) is added


def test_sc_11_qualifier_1_is_added_and_only_sg_binds(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    class Disks(UpperDriver):
        pass

    disks, sg = Disks(), SgDriver()
    subsystem.register_upper(disks)
    subsystem.register_upper(sg)
    driver.unit(0, 0, 0)
    driver.unit(0, 0, 1, inquiry_data(qualifier=1))
    driver.start(subsystem)
    connected, not_connected = subsystem.devices()
    assert connected.upper == [disks, sg]
    assert not_connected.upper == [sg]
    assert not_connected.names == {"sg": "sg1"}


def test_sc_12_types(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    subsystem.quirks.add("ROM:Scripted disk:0x100")
    driver.max_lun = 0x10000
    driver.unit(0, 0, 0)
    driver.unit(0, 0, 0xC101)
    driver.unit(0, 1, 0, inquiry_data(vendor="ROM"))
    driver.start(subsystem)
    assert [device.type for device in subsystem.devices()] == [0x00, 0x1E, 0x05]
    assert [device.removable for device in subsystem.devices()] == [False, False, True]


@pytest.mark.parametrize(
    ("vendor", "version", "byte_7", "flags", "restart", "tagged"),
    [
        ("SCRIPTED", 6, 0x00, 0, False, False),
        ("ATA", 6, 0x02, 0, True, True),
        ("SCRIPTED", 2, 0x02, 0, False, True),
        ("SCRIPTED", 1, 0x02, 0, False, False),
        ("SCRIPTED", 6, 0x02, 1 << 5, False, False),
    ],
)
def test_sc_12_restart_and_tagging(
    subsystem: Subsystem,
    driver: ScriptedDriver,
    vendor: str,
    version: int,
    byte_7: int,
    flags: int,
    restart: bool,
    tagged: bool,
) -> None:
    subsystem.quirks.add(f"{vendor}:Scripted disk:{flags}")
    inquiry = bytearray(inquiry_data(vendor=vendor, version=version))
    inquiry[7] = byte_7
    driver.unit(0, 0, 0, bytes(inquiry))
    driver.start(subsystem)
    (device,) = subsystem.devices()
    assert (device.allow_restart, device.tagged) == (restart, tagged)


@pytest.mark.parametrize(
    ("device_type", "flags", "asked"),
    [(5, 0, True), (0x0E, 0, True), (5, 1 << 17, True), (5, 1 << 18, False)],
)
def test_sc_12_cds_are_asked_for_luns_as_disks_are(
    subsystem: Subsystem, driver: ScriptedDriver, device_type: int, flags: int, asked: bool
) -> None:
    """The kernel marks CDs NOREPORTLUN when it has the flags that decide in its hand already."""
    subsystem.quirks.add(f"SCRIPTED:Scripted disk:{flags}")
    driver.unit(0, 0, 0, inquiry_data(device_type=device_type))
    driver.start(subsystem)
    assert (REPORT_LUNS in {cdb[0] for _, cdb in driver.commands}) is asked


def test_sc_13_slave_configure_refuses(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    driver.unit(0, 0, 0)
    driver.refusals["slave_configure"] = errno.ENOMEM
    host = driver.start(subsystem)
    assert driver.calls[:5] == [
        "target_alloc 0:0:0",
        "slave_alloc 0:0:0:0",
        "slave_configure 0:0:0:0",
        "slave_destroy 0:0:0:0",
        "target_destroy 0:0:0",
    ]
    assert luns(subsystem) == []
    assert REPORT_LUNS not in {cdb[0] for _, cdb in driver.commands}
    assert host.references == 1


def vpd(pages: dict[int, bytes]) -> object:
    def answer(command: object) -> Answer:
        cdb = command.cdb  # type: ignore[attr-defined]
        if not cdb[1] & 1:
            return Answer(data=inquiry_data())
        if cdb[2] not in pages:
            return Answer.check(SenseKey.ILLEGAL_REQUEST, 0x24)
        body = pages[cdb[2]]
        data = bytes((0, cdb[2])) + len(body).to_bytes(2, "big") + body
        return Answer(data=data[: int.from_bytes(cdb[3:5], "big")])

    return answer


def test_sc_14_listed_vpd_pages_are_kept(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    pages = {0x00: bytes((0x00, 0x80, 0x83, 0x86)), 0x80: b"SERIAL", 0x83: bytes(400), 0x86: b"", 0xB0: b"x"}
    driver.unit(0, 0, 0).on(INQUIRY, vpd(pages))  # type: ignore[arg-type]
    driver.start(subsystem)
    (device,) = subsystem.devices()
    assert {code: len(page) - 4 for code, page in device.vpd_pages.items()} == {0x00: 4, 0x80: 6, 0x83: 400}
    assert (device.state, device.max_queue_depth) == (DeviceState.RUNNING, device.queue_depth)


def test_sc_14_a_page_longer_than_an_allocation_length_is_cut(
    subsystem: Subsystem, driver: ScriptedDriver
) -> None:
    pages = {0x00: b"\x00\x83", 0x83: bytes(0xFFFF)}
    driver.unit(0, 0, 0).on(INQUIRY, vpd(pages))  # type: ignore[arg-type]
    driver.start(subsystem)
    assert len(subsystem.devices()[0].vpd_pages[0x83]) == 0xFFFF


@pytest.mark.parametrize(
    ("version", "quirk", "asked"),
    [
        (2, 0, False),
        (3, 0, False),
        (4, 0, True),
        (6, 0, True),
        (6, 1 << 26, False),
        (2, 1 << 28, False),
        (3, 1 << 28, True),
        (6, 1 << 26 | 1 << 28, True),
    ],
)
def test_sc_14_old_devices_and_quirks(
    subsystem: Subsystem, driver: ScriptedDriver, version: int, quirk: int, asked: bool
) -> None:
    subsystem.quirks.add(f"SCRIPTED:Scripted disk:{quirk}")
    driver.unit(0, 0, 0, inquiry_data(version=version))
    driver.start(subsystem)
    assert any(cdb[0] == INQUIRY and cdb[1] & 1 for _, cdb in driver.commands) is asked


def test_sc_14_a_quirk_keeps_upper_level_drivers_away(subsystem: Subsystem, driver: ScriptedDriver) -> None:
    subsystem.quirks.add("SCRIPTED:Scripted disk:0x100000")
    driver.unit(0, 0, 0)
    driver.start(subsystem)
    assert not subsystem.devices()[0].accessible
