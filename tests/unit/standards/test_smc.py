"""Media changers: what READ ELEMENT STATUS returns, put together and taken apart."""

from __future__ import annotations

import pytest

from midlayer.layout import DecodeError
from midlayer.standards import smc

# By the tables of SMC-3 6.11: one slot with a volume tag, then one drive with a device identifier.
DATA = bytes.fromhex(
    "0001 0002 00 000060"
    "02 80 0034 00 000034 0400 09 00 00 00 000000 80 0400 4141312020202020" + "20" * 24 + "0000 0007 00000000"
    "04 00 0014 00 000014 0001 0c 00 3b 1a 000000 00 0000 02 01 00 04 44524956"
)


def test_element_status() -> None:
    slot, drive = smc.decode_element_status(DATA)
    assert (slot.kind, slot.status.element_address) == (2, 0x400)
    assert (slot.status.full, slot.status.access) == (True, True)
    assert (slot.status.svalid, slot.status.source_storage_element_address) == (True, 0x400)
    assert slot.tag is not None
    assert (slot.tag.volume_identifier, slot.tag.volume_sequence_number) == ("AA1", 7)
    assert (drive.kind, drive.status.exception, drive.device, drive.tag) == (4, True, "DRIV", None)
    sense = (drive.status.additional_sense_code, drive.status.additional_sense_code_qualifier)
    assert sense == (0x3B, 0x1A)


def test_what_is_cut_short_keeps_what_is_whole() -> None:
    assert [one.kind for one in smc.decode_element_status(DATA[:-1])] == [2]
    assert smc.decode_element_status(DATA[:40]) == []
    with pytest.raises(DecodeError):
        smc.decode_element_status(DATA[:7])
    with pytest.raises(DecodeError, match="descriptors of 4 bytes"):
        smc.decode_element_status(DATA[:10] + b"\0\4" + DATA[12:])


def test_round_trip() -> None:
    slot = smc.Element(
        kind=2,
        status=smc.ElementDescriptor(element_address=1, full=True),
        tag=smc.VolumeTag(volume_identifier="X"),
    )
    empty = smc.Element(kind=2, status=smc.ElementDescriptor(element_address=2), tag=smc.VolumeTag())
    data = smc.encode_element_status({2: [slot, empty], 3: []}, tags=True, devices=False)
    assert smc.decode_element_status(data) == [slot, empty]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (smc.MoveMedium(source_address=0x400, destination_address=0x100), "a5000000040001000000" + "0000"),
        (
            smc.ExchangeMedium(source_address=1, first_destination_address=2, inv2=True),
            "a60000000001000200000100",
        ),
        (smc.PositionToElement(destination_address=3, invert=True), "2b000000000300000100"),
        (
            smc.InitializeWithRange(range=True, starting_element_address=4, number_of_elements=5),
            "37010004000000050000",
        ),
        (smc.ReadElementStatus(voltag=True, element_type_code=2, dvcid=True), "b81200000000010000000000"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_cdbs(value: smc.MoveMedium, expected: str) -> None:
    assert value.encode().hex() == expected
