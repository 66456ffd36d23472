"""Commands that every virtual unit knows: SPC-4, with the bytes written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.lower.virtual.tables import COMMON_TABLE, TABLES
from midlayer.mid.command import Result
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards import mode, vpd
from midlayer.standards.sense import FieldPointer, Sense
from midlayer.standards.spc import StandardInquiry, decode_lun_list
from midlayer.upper.sg import execute

MakeUnit = Callable[..., LogicalUnit]


def inquiry(page: int | None = None, length: int = 255) -> bytes:
    return bytes((0x12, page is not None, page or 0, length >> 8, length & 0xFF, 0))


def refusal(result: Result) -> tuple[str, FieldPointer | None]:
    assert result.sense is not None
    return result.sense.code, result.sense.field_pointer


@pytest.mark.parametrize("device_type", [0, 1, 3, 5, 8, 0x0D, 0x14])
def test_opcodes_that_are_not_in_the_table(unit: MakeUnit, device_type: int) -> None:
    device = unit(type=device_type)
    for opcode in set(range(256)) - set(TABLES.get(device_type, COMMON_TABLE)):
        result = execute(device, bytes((opcode, *bytes(15))), data_in=16)
        assert (refusal(result), result.residual) == (("5/20/00", None), 16)


def test_test_unit_ready(unit: MakeUnit) -> None:
    device = unit()
    assert execute(device, bytes(6)).ok
    assert execute(device, bytes(6), data_in=8).residual == 8
    assert execute(device, bytes(6), data_out=b"abc").residual == 3


def test_standard_inquiry(unit: MakeUnit) -> None:
    device = unit(removable=True, vendor="ACME", product="Disk", revision="2.0")
    result = execute(device, inquiry(), data_in=255)
    assert (len(result.data), result.residual) == (96, 159)
    assert bytes(result.data[:8]).hex() == "008006125b080002"
    assert bytes(result.data[8:36]) == b"ACME    Disk            2.0 "
    assert StandardInquiry.decode(result.data).version_descriptors == (0x00A0, 0x0460, 0x04C0)


@pytest.mark.parametrize(
    ("level", "length", "head"),
    [(0, 36, "00000000"), (1, 36, "00000101"), (2, 36, "00000202"), (3, 96, "00000312")],
)
def test_standard_inquiry_of_old_devices(unit: MakeUnit, level: int, length: int, head: str) -> None:
    result = execute(unit(scsi_level=level), inquiry(), data_in=255)
    assert (len(result.data), bytes(result.data[:4]).hex()) == (length, head)


@pytest.mark.parametrize(
    ("allocation", "room", "moved"), [(36, 255, 36), (0, 255, 0), (255, 5, 5), (5, 255, 5)]
)
def test_allocation_length_and_buffer(unit: MakeUnit, allocation: int, room: int, moved: int) -> None:
    buffer = bytearray(b"\xee" * room)
    result = execute(unit(), inquiry(length=allocation), data_in=buffer)
    assert (len(result.data), result.residual) == (moved, room - moved)
    assert buffer[moved:] == b"\xee" * (room - moved)
    assert execute(unit(), inquiry(length=allocation), data_out=bytes(7)).residual == 7


def test_inquiry_again_after_a_resize(unit: MakeUnit) -> None:
    device = unit(size=1 << 20)

    def longest_write_same() -> int:
        for _ in range(2):
            result = execute(device, inquiry(0xB0), data_in=255)
        return vpd.BlockLimits.decode(result.data).maximum_write_same_length

    assert longest_write_same() == 2048
    device.hostdata.resize(2 << 20)
    assert execute(device, bytes(6)).status == 2  # CAPACITY DATA HAS CHANGED
    assert longest_write_same() == 4096
    device.hostdata.resize(1 << 20)
    assert execute(device, bytes(6)).status == 2
    assert longest_write_same() == 2048


def test_inquiry_refused(unit: MakeUnit) -> None:
    device = unit()
    assert refusal(execute(device, b"\x12\x00\x80\x00\xff\x00", data_in=255)) == (
        "5/24/00",
        FieldPointer(True, 2),
    )
    assert refusal(execute(device, b"\x12\x02\x00\x00\xff\x00", data_in=255)) == (
        "5/24/00",
        FieldPointer(True, 1, 1),
    )
    assert refusal(execute(device, inquiry(0xC0), data_in=255)) == ("5/24/00", FieldPointer(True, 2))


def test_vpd_pages_of_a_disk(unit: MakeUnit) -> None:
    device = unit(serial="S1", naa="5000c50012345678", thin=True, rotation_rate=7200)
    pages = {}
    listed = bytes(execute(device, inquiry(0), data_in=255).data)
    assert listed.hex() == "0000000a" + "0080838687888fb0b1b2"
    for code in listed[4:]:
        result = execute(device, inquiry(code), data_in=255)
        page = pages[code] = bytes(result.data)
        assert (page[1], len(page)) == (code, int.from_bytes(page[2:4], "big") + 4)
    assert pages[0x80][4:] == b"S1"
    assert bytes.fromhex("5000c50012345678") in pages[0x83]
    limits = vpd.BlockLimits.decode(pages[0xB0])
    assert (limits.maximum_transfer_length, limits.maximum_unmap_block_descriptor_count) == (65536, 256)
    assert vpd.BlockDeviceCharacteristics.decode(pages[0xB1]).medium_rotation_rate == 7200
    provisioning = vpd.LogicalBlockProvisioning.decode(pages[0xB2])
    assert (provisioning.lbpu, provisioning.lbpws, provisioning.provisioning_type) == (True, True, 2)


def test_vpd_pages_of_others(unit: MakeUnit) -> None:
    assert bytes(execute(unit(type=8), inquiry(0), data_in=255).data)[4:].hex() == "008083868788"
    assert refusal(execute(unit(type=8), inquiry(0xB0), data_in=255))[0] == "5/24/00"
    assert execute(unit(type=5, size=2048), inquiry(0x83), data_in=255).data[0] == 5


def mode_sense(
    page: int, *, ten: bool = False, control: int = 0, subpage: int = 0, flags: int = 0, length: int = 255
) -> bytes:
    if ten:
        return bytes((0x5A, flags, control << 6 | page, subpage, 0, 0, 0, length >> 8, length & 0xFF, 0))
    return bytes((0x1A, flags, control << 6 | page, subpage, length, 0))


@pytest.mark.parametrize("ten", [False, True])
@pytest.mark.parametrize(("flags", "descriptor"), [(0, "0000008000000200"), (0x08, "")])
def test_mode_sense_all_pages(unit: MakeUnit, ten: bool, flags: int, descriptor: str) -> None:
    result = execute(unit(), mode_sense(0x3F, ten=ten, flags=flags), data_in=255)
    data = bytes(result.data)
    assert int.from_bytes(data[:2], "big") + 2 == len(data) if ten else data[0] + 1 == len(data)
    decoded = mode.decode_mode_sense(data, ten)
    assert [page.page for page in decoded.pages] == [0x01, 0x08, 0x0A, 0x1C]
    assert b"".join(one.encode() for one in decoded.block_descriptors).hex() == descriptor
    assert decoded.header.dpofua
    assert not decoded.header.wp


def test_mode_sense_one_page_and_what_may_change(unit: MakeUnit) -> None:
    device = unit(write_protected=True)
    for ten in (False, True):
        decoded = mode.decode_mode_sense(
            bytes(execute(device, mode_sense(8, ten=ten), data_in=255).data), ten
        )
        assert [len(page.data) for page in decoded.pages] == [20]
        assert decoded.header.wp
        changeable = execute(device, mode_sense(8, ten=ten, control=1), data_in=255)
        assert bytes(changeable.data)[-20:] == b"\x08\x12" + bytes(18)
        defaults = execute(device, mode_sense(8, ten=ten, control=2), data_in=255)
        assert len(defaults.data) == len(changeable.data)
        saved = execute(device, mode_sense(8, ten=ten, control=3), data_in=255)
        assert refusal(saved)[0] == "5/39/00"
        cut = execute(device, mode_sense(8, ten=ten, length=6), data_in=255)
        assert (len(cut.data), cut.residual) == (6, 249)


def test_mode_sense_long_descriptor(unit: MakeUnit) -> None:
    data = bytes(execute(unit(), mode_sense(0x0A, ten=True, flags=0x10), data_in=255).data)
    assert (data[4], data[8:24].hex()) == (1, "00000000000000800000000000000200")


def test_mode_sense_refused(unit: MakeUnit) -> None:
    device = unit()
    assert refusal(execute(device, mode_sense(0x19), data_in=255)) == ("5/24/00", FieldPointer(True, 2, 5))
    assert refusal(execute(device, mode_sense(0x08, subpage=1), data_in=255)) == (
        "5/24/00",
        FieldPointer(True, 3),
    )
    assert execute(device, mode_sense(0x3F, subpage=0xFF), data_in=255).ok


def test_request_sense(unit: MakeUnit) -> None:
    device = unit()
    fixed = execute(device, b"\x03\x00\x00\x00\xfc\x00", data_in=252)
    assert bytes(fixed.data).hex() == "70" + "00" * 6 + "0a" + "00" * 10
    descriptor = execute(device, b"\x03\x01\x00\x00\xfc\x00", data_in=252)
    assert bytes(descriptor.data).hex() == "72" + "00" * 7
    assert len(execute(device, b"\x03\x00\x00\x00\x04\x00", data_in=252).data) == 4


def report_luns(select: int = 0, length: int = 4096) -> bytes:
    return bytes((0xA0, 0, select, 0, 0, 0)) + length.to_bytes(4, "big") + b"\0\0"


def test_report_luns(subsystem: Subsystem, virtual: VirtualDriver) -> None:
    units = (
        *[UnitSpec(lun=lun, size=512) for lun in (0, 1, 256)],
        UnitSpec(lun=0xC101, type=0x1E),
        UnitSpec(target=1, lun=7, size=512),
    )
    virtual.add_host(HostSpec(units=units))
    device = subsystem.devices()[0]
    for select, luns in ((0, [0, 1, 256]), (1, [0xC101]), (2, [0, 1, 256, 0xC101])):
        result = execute(device, report_luns(select), data_in=4096)
        assert decode_lun_list(bytes(result.data)) == luns
    cut = execute(device, report_luns(length=16), data_in=4096)
    assert (bytes(cut.data).hex(), cut.residual) == ("0000001800000000" + "00" * 8, 4080)
    assert refusal(execute(device, report_luns(3), data_in=64)) == ("5/24/00", FieldPointer(True, 2))
    assert refusal(execute(device, report_luns(length=15), data_in=64)) == ("5/24/00", FieldPointer(True, 6))
    assert refusal(execute(device, report_luns()[:8], data_in=64)) == ("5/24/00", FieldPointer(True, 7))


def test_a_unit_that_is_not_accessible(unit: MakeUnit) -> None:
    device = unit(qualifier=1)
    assert execute(device, inquiry(), data_in=255).data[0] == 0x20
    assert execute(device, inquiry(0x83), data_in=255).data[0] == 0x20
    sense = Sense.decode(bytes(execute(device, b"\x03\x00\x00\x00\xfc\x00", data_in=252).data))
    assert sense is not None
    assert sense.code == "5/25/00"
    for opcode in (0x00, 0x28, 0x1A, 0xFF):
        assert refusal(execute(device, bytes((opcode, *bytes(15))), data_in=16))[0] == "5/25/00"
