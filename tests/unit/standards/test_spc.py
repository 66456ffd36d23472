from __future__ import annotations

import pytest

from midlayer.layout import DecodeError, LayoutError
from midlayer.standards import spc

# `cat /sys/class/scsi_device/0:0:0:0/device/inquiry` of a scsi_debug disk, Linux 6.1.
INQUIRY = bytes.fromhex(
    "00 00 07 02 5b 00 10 0a 4c 69 6e 75 78 20 20 20 73 63 73 69 5f 64 65 62 75 67 20 20 20 20 20 20"
    "30 31 39 31 32 30 32 31 30 35 32 30 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 c0 05 c0 06 00"
    "21 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
)


def test_scsi_debug_inquiry() -> None:
    value = spc.StandardInquiry.decode(INQUIRY)
    assert (value.vendor, value.product, value.revision) == ("Linux", "scsi_debug", "0191")
    assert value.qualifier is spc.PeripheralQualifier.CONNECTED
    assert value.device_type is spc.PeripheralDeviceType.DIRECT_ACCESS
    assert (value.version, value.response_data_format, value.additional_length) == (7, 2, 91)
    assert value.cmdque
    assert not value.rmb
    assert value.version_descriptors == (0x00C0, 0x05C0, 0x0600, 0x2100)
    assert value.vendor_specific.startswith(b"20210520")
    assert value.encode() == INQUIRY
    assert value.encode_sized() == INQUIRY


def test_36_bytes_are_normal() -> None:
    value = spc.StandardInquiry.decode(INQUIRY[:36])
    assert value.revision == "0191"
    assert value.has("product_revision_level")
    assert not value.has("vendor_specific")
    assert value.version_descriptors == ()


def test_five_bytes_are_legal() -> None:
    value = spc.StandardInquiry.decode(b"\x7f\0\0\0\0")
    assert value.qualifier is spc.PeripheralQualifier.NOT_SUPPORTED
    assert value.device_type is spc.PeripheralDeviceType.UNKNOWN_OR_NO_DEVICE
    assert value.vendor == ""


def test_encode_sized_follows_the_additional_length() -> None:
    assert len(spc.StandardInquiry(additional_length=31).encode_sized()) == 36
    assert len(spc.StandardInquiry(additional_length=255).encode_sized()) == 260
    assert spc.StandardInquiry().encode_sized() == bytes(5)


def test_every_qualifier_and_type_has_a_name() -> None:
    assert [int(one) for one in spc.PeripheralQualifier] == list(range(8))
    assert [int(one) for one in spc.PeripheralDeviceType] == list(range(32))
    assert all(one.meaning.startswith("vendor specific") for one in list(spc.PeripheralQualifier)[4:])
    assert spc.PeripheralQualifier.RESERVED.meaning.startswith("reserved")


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (0x00, "Direct-Access"),
        (0x01, "Sequential-Access"),
        (0x05, "CD-ROM"),
        (0x08, "Medium Changer"),
        (0x0D, "Enclosure"),
        (0x14, "Zoned Block"),
        (0x15, "Unknown"),
        (0x1E, "Well-known LUN"),
        (0x1F, "No Device"),
    ],
)
def test_type_as_proc_scsi_prints_it(code: int, shown: str) -> None:
    assert spc.PeripheralDeviceType(code).description == shown


@pytest.mark.parametrize(
    ("cdb", "wire"),
    [
        (spc.Inquiry(allocation_length=36), "120000002400"),
        (spc.Inquiry(evpd=True, page_code=0x83, allocation_length=0x1234), "120183123400"),
        (spc.TestUnitReady(), "000000000000"),
        (spc.RequestSense(desc=True, allocation_length=252), "03010000fc00"),
        (
            spc.ModeSense6(dbd=True, page_control=2, page_code=0x3F, subpage_code=255, allocation_length=4),
            "1a08bfff0400",
        ),
        (spc.ModeSense10(llbaa=True, page_code=8, allocation_length=0x1000), "5a100800000000100000"),
        (spc.ModeSelect6(pf=True, sp=True, parameter_list_length=24), "151100001800"),
        (spc.ModeSelect10(pf=True, parameter_list_length=0x102), "55100000000000010200"),
        (spc.PreventAllow(prevent=1), "1e0000000100"),
        (spc.LogSense(page_control=1, page_code=0x0D, allocation_length=0x200), "4d004d00000000020000"),
        (spc.ReportLuns(select_report=2, allocation_length=0x1000), "a00002000000000010000000"),
        (
            spc.ReportSupportedOperationCodes(
                rctd=True, reporting_options=3, requested_operation_code=0x9E, requested_service_action=0x10,
                allocation_length=20,
            ),
            "a30c839e0010000000140000",
        ),
    ],
)  # fmt: skip
def test_cdbs(cdb: spc.Inquiry, wire: str) -> None:
    assert cdb.encode().hex() == wire
    assert type(cdb).decode(bytes.fromhex(wire)) == cdb


def test_lun_list_both_ways() -> None:
    data = spc.encode_lun_list([0, 1, 0xC101])
    assert data.hex() == "0000001800000000" + "0000000000000000" + "0001000000000000" + "c101000000000000"
    luns = spc.decode_lun_list(data)
    assert luns == [0, 1, 0xC101]
    assert (luns.claimed, luns.complete) == (3, True)


def test_lun_list_cut_by_the_allocation_length() -> None:
    luns = spc.decode_lun_list(spc.encode_lun_list(range(5))[:30])
    assert luns == [0, 1]
    assert (luns.claimed, luns.complete) == (5, False)


def test_lun_list_ignores_what_the_header_does_not_claim() -> None:
    assert spc.decode_lun_list(bytes(16)) == []


def test_lun_list_errors() -> None:
    with pytest.raises(DecodeError, match="4 needed"):
        spc.decode_lun_list(b"\0\0\0")
    with pytest.raises(LayoutError):
        spc.encode_lun_list([-1])
