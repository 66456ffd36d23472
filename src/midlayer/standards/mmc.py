"""Commands and data of CD and DVD drives (MMC-6): table of contents, features, events, disc and track."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from midlayer.layout import DecodeError, Layout, bits, flag, uint

__all__ = [
    "CapabilitiesPage",
    "Configuration",
    "DiscInformation",
    "EventClass",
    "EventHeader",
    "Feature",
    "FeatureCode",
    "GetConfiguration",
    "GetEventStatus",
    "MechanismStatus",
    "MechanismStatusHeader",
    "MediaEvent",
    "Profile",
    "ReadCd",
    "ReadDiscInformation",
    "ReadToc",
    "ReadTrackInformation",
    "SetCdSpeed",
    "TocEntry",
    "TrackInformation",
    "decode_configuration",
    "decode_toc",
    "encode_configuration",
    "encode_toc",
    "minutes",
]

LEAD_OUT = 0xAA
"""Track number of what comes after the last track."""

DATA_TRACK = 0x4
"""CONTROL of a track with data that may not be copied freely; audio has 0."""


class ReadToc(Layout, size=10):
    """READ TOC/PMA/ATIP (MMC-6 6.25)."""

    opcode = uint(0, const=0x43)
    msf: bool = flag(1, 1)
    format: int = bits(2, 3, 0)
    track_session_number: int = uint(6)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class GetConfiguration(Layout, size=10):
    """GET CONFIGURATION (MMC-6 6.5); RT 0 is all features, 1 current ones, 2 the one that is named."""

    opcode = uint(0, const=0x46)
    rt: int = bits(1, 1, 0)
    starting_feature_number: int = uint(2, 2)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class GetEventStatus(Layout, size=10):
    """GET EVENT STATUS NOTIFICATION (MMC-6 6.6)."""

    opcode = uint(0, const=0x4A)
    polled: bool = flag(1, 0)
    notification_class_request: int = uint(4)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class ReadDiscInformation(Layout, size=10):
    """READ DISC INFORMATION (MMC-6 6.21)."""

    opcode = uint(0, const=0x51)
    data_type: int = bits(1, 2, 0)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class ReadTrackInformation(Layout, size=10):
    """READ TRACK INFORMATION (MMC-6 6.26); an LBA, a track or a session by `address_type` 0, 1, 2."""

    opcode = uint(0, const=0x52)
    address_type: int = bits(1, 1, 0)
    address: int = uint(2, 4)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class SetCdSpeed(Layout, size=12):
    """SET CD SPEED (MMC-6 6.37), in 1,000 bytes a second; FFFFh is as fast as can be."""

    opcode = uint(0, const=0xBB)
    logical_unit_read_speed: int = uint(2, 2)
    logical_unit_write_speed: int = uint(4, 2)
    control: int = uint(11)


class MechanismStatus(Layout, size=12):
    """MECHANISM STATUS (MMC-6 6.12)."""

    opcode = uint(0, const=0xBD)
    allocation_length: int = uint(8, 2)
    control: int = uint(11)


class ReadCd(Layout, size=12):
    """READ CD (MMC-6 6.19); `main_channel` says which parts of a sector are wanted, 10h its user data."""

    opcode = uint(0, const=0xBE)
    expected_sector_type: int = bits(1, 4, 2)
    starting_logical_block_address: int = uint(2, 4)
    transfer_length: int = uint(6, 3)
    main_channel: int = uint(9)
    sub_channel: int = bits(10, 2, 0)
    control: int = uint(11)


class TocEntry(Layout, size=8):
    """TOC track descriptor (MMC-6 table 495); the address is an LBA, or minutes, seconds and frames."""

    adr: int = bits(1, 7, 4)
    track_control: int = bits(1, 3, 0)
    track_number: int = uint(2)
    track_start_address: int = uint(4, 4)


class Profile(IntEnum):
    """Profiles of discs that can be read only (MMC-6 table 96)."""

    NONE = 0x0000
    CD_ROM = 0x0008
    DVD_ROM = 0x0010


class FeatureCode(IntEnum):
    """Features that a drive for reading has (MMC-6 table 91)."""

    PROFILE_LIST = 0x0000
    CORE = 0x0001
    MORPHING = 0x0002
    REMOVABLE_MEDIUM = 0x0003
    RANDOM_READABLE = 0x0010
    MULTI_READ = 0x001D
    CD_READ = 0x001E
    DVD_READ = 0x001F
    POWER_MANAGEMENT = 0x0100
    TIME_OUT = 0x0105
    SERIAL_NUMBER = 0x0108


class _FeatureHead(Layout, size=4):
    """Feature descriptor (MMC-6 table 92), up to what depends on the feature."""

    feature_code: int = uint(0, 2)
    version: int = bits(2, 5, 2)
    persistent: bool = flag(2, 1)
    current: bool = flag(2, 0)
    additional_length: int = uint(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature of GET CONFIGURATION.

    Attributes:
        code: Feature code.
        version: Of its descriptor.
        persistent: It is always current.
        current: It is in force with the disc that is there.
        data: What depends on the feature.
    """

    code: int
    version: int = 0
    persistent: bool = False
    current: bool = False
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """GET CONFIGURATION data: the profile that is in force, and features."""

    profile: int
    features: tuple[Feature, ...]


class EventClass(IntFlag):
    """Notification classes, as bits of a request (MMC-6 table 314)."""

    OPERATIONAL_CHANGE = 1 << 1
    POWER_MANAGEMENT = 1 << 2
    EXTERNAL_REQUEST = 1 << 3
    MEDIA = 1 << 4
    MULTI_HOST = 1 << 5
    DEVICE_BUSY = 1 << 6


class EventHeader(Layout, size=4):
    """Event header (MMC-6 table 315)."""

    event_descriptor_length: int = uint(0, 2)
    nea: bool = flag(2, 7)
    notification_class: int = bits(2, 2, 0)
    supported_event_classes: int = uint(3)


class MediaEvent(Layout, size=4):
    """Media event descriptor (MMC-6 table 325); code 1 eject request, 2 new medium, 3 removed, 4 changed."""

    event_code: int = bits(0, 3, 0)
    media_present: bool = flag(1, 1)
    door_or_tray_open: bool = flag(1, 0)
    start_slot: int = uint(2)
    end_slot: int = uint(3)


class DiscInformation(Layout, size=34):
    """READ DISC INFORMATION data, standard (MMC-6 table 389)."""

    disc_information_length: int = uint(0, 2)
    erasable: bool = flag(2, 4)
    state_of_last_session: int = bits(2, 3, 2)
    disc_status: int = bits(2, 1, 0)
    number_of_first_track: int = uint(3)
    number_of_sessions: int = uint(4)
    first_track_in_last_session: int = uint(5)
    last_track_in_last_session: int = uint(6)
    did_v: bool = flag(7, 7)
    dbc_v: bool = flag(7, 6)
    uru: bool = flag(7, 5)
    disc_type: int = uint(8)
    last_session_lead_in_start_address: int = uint(16, 4)
    last_possible_lead_out_start_address: int = uint(20, 4)


class TrackInformation(Layout, size=36):
    """READ TRACK INFORMATION data (MMC-6 table 501)."""

    track_information_length: int = uint(0, 2)
    track_number: int = uint(2)
    session_number: int = uint(3)
    damage: bool = flag(5, 5)
    copy: bool = flag(5, 4)
    track_mode: int = bits(5, 3, 0)
    rt: bool = flag(6, 7)
    blank: bool = flag(6, 6)
    packet: bool = flag(6, 5)
    fp: bool = flag(6, 4)
    data_mode: int = bits(6, 3, 0)
    lra_v: bool = flag(7, 1)
    nwa_v: bool = flag(7, 0)
    track_start_address: int = uint(8, 4)
    next_writable_address: int = uint(12, 4)
    free_blocks: int = uint(16, 4)
    track_size: int = uint(24, 4)
    last_recorded_address: int = uint(28, 4)


class MechanismStatusHeader(Layout, size=8):
    """MECHANISM STATUS data of a drive for one disc (MMC-6 table 360)."""

    fault: bool = flag(0, 7)
    changer_state: int = bits(0, 6, 5)
    current_slot: int = bits(0, 4, 0)
    mechanism_state: int = bits(1, 7, 5)
    door_open: bool = flag(1, 4)
    current_lba: int = uint(2, 3)
    number_of_slots_available: int = uint(5)
    length_of_slot_table: int = uint(6, 2)


class CapabilitiesPage(Layout, size=24):
    """Mode page 2Ah, MM Capabilities and Mechanical Status (MMC-3 6.3.11); speeds in 1,000 bytes a second."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x2A)
    page_length = uint(1, const=22, strict=False)
    dvd_ram_read: bool = flag(2, 5)
    dvd_r_read: bool = flag(2, 4)
    dvd_rom_read: bool = flag(2, 3)
    method_2: bool = flag(2, 2)
    cd_rw_read: bool = flag(2, 1)
    cd_r_read: bool = flag(2, 0)
    multi_session: bool = flag(4, 6)
    mode_2_form_2: bool = flag(4, 5)
    mode_2_form_1: bool = flag(4, 4)
    cd_da_commands: bool = flag(5, 0)
    loading_mechanism_type: int = bits(6, 7, 5)
    eject: bool = flag(6, 3)
    prevent_jumper: bool = flag(6, 2)
    lock_state: bool = flag(6, 1)
    lock: bool = flag(6, 0)
    maximum_read_speed: int = uint(8, 2)
    number_of_volume_levels: int = uint(10, 2)
    buffer_size_kib: int = uint(12, 2)
    current_read_speed: int = uint(14, 2)


def minutes(lba: int) -> int:
    """Return an address as minutes, seconds and frames, a byte each (MMC-6 4.2.3.2); FFh 3Bh 4Ah at most."""
    frames = min(lba + 150, 256 * 4500 - 1)
    return frames // 4500 << 16 | frames // 75 % 60 << 8 | frames % 75


def encode_toc(first: int, last: int, entries: Iterable[TocEntry]) -> bytes:
    """Return READ TOC data of format 0 or 1: first and last track or session, and what is said of them."""
    body = bytes((first, last)) + b"".join(one.encode() for one in entries)
    return len(body).to_bytes(2, "big") + body


def decode_toc(data: bytes) -> tuple[int, int, list[TocEntry]]:
    """Take READ TOC data of format 0 or 1 apart; entries that are whole.

    Raises:
        DecodeError: The header is not there.
    """
    if len(data) < 4:
        raise DecodeError(f"table of contents: {len(data)} bytes, 4 needed")
    end = min(len(data), int.from_bytes(data[:2], "big") + 2)
    ends = range(4, end - TocEntry.size + 1, TocEntry.size)
    return data[2], data[3], [TocEntry.decode(data[at : at + TocEntry.size]) for at in ends]


def encode_configuration(configuration: Configuration) -> bytes:
    """Return GET CONFIGURATION data (MMC-6 6.5.2)."""
    body = b"".join(
        _FeatureHead(
            feature_code=one.code,
            version=one.version,
            persistent=one.persistent,
            current=one.current,
            additional_length=len(one.data),
        ).encode()
        + one.data
        for one in configuration.features
    )
    return (len(body) + 4).to_bytes(4, "big") + bytes(2) + configuration.profile.to_bytes(2, "big") + body


def decode_configuration(data: bytes) -> Configuration:
    """Take GET CONFIGURATION data apart; features that are whole.

    Raises:
        DecodeError: The header is not there.
    """
    if len(data) < 8:
        raise DecodeError(f"configuration: {len(data)} bytes, 8 needed")
    end, at = min(len(data), int.from_bytes(data[:4], "big") + 4), 8
    features = []
    while at + _FeatureHead.size <= end:
        head = _FeatureHead.decode(data[at:])
        rest = at + _FeatureHead.size
        at = rest + head.additional_length
        if at > end:
            break
        features.append(
            Feature(
                code=head.feature_code,
                version=head.version,
                persistent=head.persistent,
                current=head.current,
                data=bytes(data[rest:at]),
            )
        )
    return Configuration(profile=int.from_bytes(data[6:8], "big"), features=tuple(features))
