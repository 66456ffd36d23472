from __future__ import annotations

import pytest

from midlayer.layout import LayoutError
from midlayer.standards.designators import Designator, decode_designators, persistent_name, wwid

NAA6 = Designator(code_set=1, designator_type=3, identifier=bytes.fromhex("6001405abcdef0123456789abcdef012"))
NAA5 = Designator(code_set=1, designator_type=3, identifier=bytes.fromhex("5000c50012345678"))
NAA3 = Designator(code_set=1, designator_type=3, identifier=bytes.fromhex("33333330000007d0"))
EUI8 = Designator(code_set=1, designator_type=2, identifier=bytes.fromhex("0025385a71d02c01"))
EUI16 = Designator(
    code_set=1, designator_type=2, identifier=bytes.fromhex("00112233445566778899aabbccddeeff")
)
T10 = Designator(code_set=2, designator_type=1, identifier=b"ATA     Disk  X1        ")
VENDOR = Designator(code_set=2, designator_type=0, identifier=b"abc 1")
NAME = Designator(code_set=3, designator_type=8, identifier=b"iqn.2026-01.org.example:disk\0\0\0\0")
PORT = Designator(code_set=1, designator_type=3, association=1, identifier=bytes.fromhex("6" + "0" * 31))


def page(*designators: Designator) -> bytes:
    body = b"".join(one.encode() for one in designators)
    return b"\0\x83" + len(body).to_bytes(2, "big") + body


SERIAL = bytes.fromhex("00800004") + b"2000"


@pytest.mark.parametrize(
    ("designators", "name"),
    [
        ((T10, NAA3, PORT), "naa.33333330000007d0"),
        ((NAA5, NAA6), "naa.6001405abcdef0123456789abcdef012"),
        ((NAA6, NAA5), "naa.6001405abcdef0123456789abcdef012"),
        ((EUI16, NAA5), "eui.00112233445566778899aabbccddeeff"),
        ((EUI8, NAA5), "naa.5000c50012345678"),
        ((EUI8, T10), "eui.0025385a71d02c01"),
        ((NAA6, NAME), "iqn.2026-01.org.example:disk"),
        ((T10,), "t10.ATA     Disk  X1        "),
        ((PORT,), None),
        ((VENDOR,), None),
        ((), None),
    ],
)
def test_wwid_follows_the_kernels_order(designators: tuple[Designator, ...], name: str | None) -> None:
    assert wwid(page(*designators)) == name


def test_wwid_escapes_what_is_not_printable() -> None:
    assert wwid(page(Designator(code_set=2, designator_type=1, identifier=b"V\0\n\x01\xff\\"))) == (
        "t10.V\\0\\n\\001\\377\\"
    )


@pytest.mark.parametrize("data", [None, b"", b"\0\x80\0\0", b"\0\x83"])
def test_wwid_of_no_page(data: bytes | None) -> None:
    assert wwid(data) is None


@pytest.mark.parametrize(
    ("designators", "name"),
    [
        ((T10, NAA3, PORT), "scsi-333333330000007d0"),
        ((NAA3, NAA5, NAA6), "scsi-36001405abcdef0123456789abcdef012"),
        ((EUI16, NAA5), "scsi-35000c50012345678"),
        ((T10, EUI8), "scsi-20025385a71d02c01"),
        ((NAME, T10), "scsi-1ATA_Disk_X1"),
        ((VENDOR,), "scsi-0Linux_scsi_debug_abc_1"),
        ((PORT,), "scsi-SLinux_scsi_debug_2000"),
        ((), "scsi-SLinux_scsi_debug_2000"),
    ],
)
def test_persistent_name_follows_udevs_order(designators: tuple[Designator, ...], name: str) -> None:
    assert persistent_name(page(*designators), SERIAL, "Linux", "scsi_debug") == name


def test_persistent_name_without_page_83() -> None:
    assert persistent_name(None, SERIAL, "Linux   ", "scsi_debug      ") == "scsi-SLinux_scsi_debug_2000"
    assert persistent_name(None, SERIAL, "IBM-ESXS", "ST3146807LC") == "scsi-SIBM-ESXSST3146807LC_2000"
    assert persistent_name(None, None, "Linux", "scsi_debug") is None
    assert persistent_name(None, bytes.fromhex("00800000"), "Linux", "scsi_debug") is None


def test_a_link_has_no_strange_letters() -> None:
    odd = Designator(code_set=2, designator_type=1, identifier=b"A/B*C:1")
    assert persistent_name(page(odd), None, "", "") == "scsi-1A_B_C:1"


def test_encoding() -> None:
    assert NAA3.encode().hex() == "0103000833333330000007d0"
    assert decode_designators(NAA3.encode() + T10.encode()) == (NAA3, T10)
    assert decode_designators(NAA3.encode() + T10.encode()[:-1]) == (NAA3,)


def test_naa_is_of_naa_designators_only() -> None:
    assert (NAA6.naa, NAA5.naa, T10.naa) == (6, 5, None)
    assert Designator(code_set=1, designator_type=3, identifier=b"").naa is None


def test_what_does_not_fit() -> None:
    for wrong in (
        {"code_set": 16},
        {"designator_type": -1},
        {"association": 4},
        {"protocol_identifier": 16},
        {"identifier": bytes(256)},
    ):
        with pytest.raises(LayoutError, match="allowed"):
            Designator(**{"code_set": 1, "designator_type": 3, "identifier": b"", **wrong})  # type: ignore[arg-type]
