"""Identity by pages: judged by udev's program on kernel devices; here the forms that those do not have."""

from __future__ import annotations

from dataclasses import replace

from midlayer.rules import scsi_id
from midlayer.standards.designators import Designator
from midlayer.standards.vpd import DeviceIdentification, UnitSerialNumber

from .devices import DISK, UNIT

INQUIRY = bytes.fromhex("000006125b000002") + b"ACME    Big; disk       0001"


def pages(*designators: Designator, serial: bytes = b"") -> dict[int, bytes]:
    found = {0x83: DeviceIdentification(designators=designators).encode()} if designators else {}
    return found | ({0x80: UnitSerialNumber(serial=serial).encode()} if serial else {})


def naa(text: str) -> Designator:
    return Designator(code_set=1, designator_type=3, identifier=bytes.fromhex(text))


def test_naa_6_has_a_vendor_extension() -> None:
    found = scsi_id.properties(INQUIRY, pages(naa("6" + "0" * 30 + "1"), serial=b" S 1 "))
    assert found == {
        "ID_SCSI": "1",
        "ID_VENDOR": "ACME",
        "ID_VENDOR_ENC": "ACME\\x20\\x20\\x20\\x20",
        "ID_MODEL": "Big__disk",
        "ID_MODEL_ENC": "Big\\x3b\\x20disk\\x20\\x20\\x20\\x20\\x20\\x20\\x20",
        "ID_REVISION": "0001",
        "ID_TYPE": "disk",
        "ID_SERIAL": "36000000000000000" + "0" * 15 + "1",
        "ID_SERIAL_SHORT": "6000000000000000" + "0" * 15 + "1",
        "ID_WWN": "0x6000000000000000",
        "ID_WWN_VENDOR_EXTENSION": "0x" + "0" * 15 + "1",
        "ID_WWN_WITH_EXTENSION": "0x6000000000000000" + "0" * 15 + "1",
        "ID_SCSI_SERIAL": "S 1",
    }


def test_the_target_port_group_is_udevs_target_port() -> None:
    port = Designator(code_set=1, designator_type=5, identifier=b"\0\0\x02\0", association=1)
    found = scsi_id.properties(INQUIRY, pages(naa("5" + "0" * 15), port)) or {}
    assert found["ID_TARGET_PORT"] == "200"


def test_the_serial_number_is_the_last_resort() -> None:
    found = scsi_id.properties(INQUIRY, pages(serial=b"ABC")) or {}
    assert (found["ID_SERIAL"], found["ID_SERIAL_SHORT"]) == ("SACME_Big__disk_ABC", "ABC")
    assert "ID_WWN" not in found


def test_a_vendor_specific_designator() -> None:
    one = Designator(code_set=2, designator_type=0, identifier=b"xyz 1")
    found = scsi_id.properties(INQUIRY, pages(one)) or {}
    assert (found["ID_SERIAL"], found["ID_SERIAL_SHORT"]) == ("0ACME_Big__disk_xyz_1", "xyz_1")


def test_a_device_without_names_still_has_vendor_and_model() -> None:
    found = scsi_id.properties(INQUIRY, {}) or {}
    assert found["ID_MODEL"] == "Big__disk"
    assert "ID_SERIAL" not in found


def test_as_a_program_it_prints_properties() -> None:
    unit = replace(UNIT, attributes={"inquiry": INQUIRY, "vpd_pg80": pages(serial=b"A\nB")[0x80]})
    result = scsi_id.as_program(replace(DISK, parent=unit))
    assert result.status == 0
    assert "ID_SCSI_SERIAL=A_B\n" in result.output
    assert scsi_id.as_program(replace(DISK, parent=None)).status == 1
