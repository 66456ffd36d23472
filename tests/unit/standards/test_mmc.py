"""CDBs and data of CD drives, by the tables of MMC-6."""

from __future__ import annotations

import pytest

from midlayer.layout import DecodeError
from midlayer.standards import mmc


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            mmc.ReadToc(msf=True, format=2, track_session_number=1, allocation_length=4),
            "43020200000001000400",
        ),
        (
            mmc.GetConfiguration(rt=2, starting_feature_number=0x1E, allocation_length=8),
            "4602001e000000000800",
        ),
        (mmc.GetEventStatus(polled=True, notification_class_request=0x10), "4a010000100000000000"),
        (mmc.ReadDiscInformation(allocation_length=34), "51000000000000002200"),
        (mmc.ReadTrackInformation(address_type=1, address=1), "52010000000100000000"),
        (mmc.SetCdSpeed(logical_unit_read_speed=0xFFFF), "bb00ffff0000000000000000"),
        (mmc.MechanismStatus(allocation_length=8), "bd0000000000000000080000"),
        (
            mmc.ReadCd(expected_sector_type=2, transfer_length=1, main_channel=0x10),
            "be0800000000000001100000",
        ),
        (mmc.EventHeader(event_descriptor_length=6, notification_class=4), "00060400"),
        (mmc.MediaEvent(event_code=2, media_present=True), "02020000"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_cdbs(value: mmc.ReadToc, expected: str) -> None:
    assert value.encode().hex() == expected
    assert type(value).decode(bytes.fromhex(expected)) == value


@pytest.mark.parametrize(
    ("lba", "expected"),
    [(0, 0x000200), (-150, 0), (4350, 0x010000), (449_850, 0x640000), (1 << 32, 0xFF3B4A)],
)
def test_minutes(lba: int, expected: int) -> None:
    assert mmc.minutes(lba) == expected


def test_table_of_contents() -> None:
    data = bytes.fromhex("0012 01 01 00 14 01 00 00000000 00 14 aa 00 000000b0")
    first, last, entries = mmc.decode_toc(data)
    assert (first, last, [one.track_number for one in entries]) == (1, 1, [1, mmc.LEAD_OUT])
    assert (entries[0].track_control, entries[1].track_start_address) == (mmc.DATA_TRACK, 0xB0)
    assert mmc.encode_toc(first, last, entries) == data
    assert mmc.decode_toc(data[:19])[2] == entries[:1]
    with pytest.raises(DecodeError):
        mmc.decode_toc(data[:3])


def test_configuration() -> None:
    data = bytes.fromhex("00000014 0000 0008 0000 03 04 00080100 001e 09 04 00000000")
    found = mmc.decode_configuration(data)
    assert (found.profile, [one.code for one in found.features]) == (mmc.Profile.CD_ROM, [0, 0x1E])
    reading = found.features[1]
    assert (reading.version, reading.current, reading.persistent, reading.data) == (2, True, False, bytes(4))
    assert mmc.encode_configuration(found) == data
    assert len(mmc.decode_configuration(data[:-1]).features) == 1
    with pytest.raises(DecodeError):
        mmc.decode_configuration(data[:7])
