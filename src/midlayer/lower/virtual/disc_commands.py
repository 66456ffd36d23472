"""Commands of a virtual CD or DVD drive (MMC-6): what is on the disc, what the drive can do, events."""

from __future__ import annotations

from midlayer.lower.virtual.answers import (
    fields,
    illegal_request,
    invalid_field,
    lba_out_of_range,
    no_data,
    send,
)
from midlayer.lower.virtual.disc import FASTEST_KBYTES, profile
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import mmc
from midlayer.standards.mmc import EventClass, Profile
from midlayer.standards.opcodes import Opcode

_TOC, _SESSIONS, _FULL_TOC = 0, 1, 2
_ADR_POSITION = 1
_COMPLETE_SESSION, _FINALIZED_DISC = 3, 2
_NOT_KNOWN = 0xFFFFFFFF
_LONGEST_TRACK = 0xFFFFFFFF
_MODE_1, _ANY_TYPE, _MODE_1_TYPE = 1, 0, 2
_USER_DATA = 0x10
_POWER_ACTIVE = b"\0\1\0\0"

_CLASSES = (
    EventClass.OPERATIONAL_CHANGE
    | EventClass.POWER_MANAGEMENT
    | EventClass.EXTERNAL_REQUEST
    | EventClass.MEDIA
    | EventClass.DEVICE_BUSY
)


def read_toc(unit: VirtualUnit, command: Command) -> None:
    """READ TOC/PMA/ATIP: one session with one track of data."""
    cdb = fields(mmc.ReadToc, command)
    address = mmc.minutes if cdb.msf else int
    track = mmc.TocEntry(adr=_ADR_POSITION, track_control=mmc.DATA_TRACK, track_number=1)
    first = track.replace(track_start_address=address(0))
    if cdb.format == _TOC:
        if cdb.track_session_number > 1 and cdb.track_session_number != mmc.LEAD_OUT:
            raise invalid_field(6)
        end = track.replace(track_number=mmc.LEAD_OUT, track_start_address=address(_end(unit)))
        listed = [first, end] if cdb.track_session_number <= 1 else [end]
        data = mmc.encode_toc(1, 1, listed)
    elif cdb.format == _SESSIONS:
        data = mmc.encode_toc(1, 1, [first])
    elif cdb.format == _FULL_TOC and profile(unit.blocks) == Profile.CD_ROM:
        data = _full_toc(unit)
    else:
        raise invalid_field(2, 3)
    send(command, data, cdb.allocation_length)


def _full_toc(unit: VirtualUnit) -> bytes:
    """Return the points of the lead-in (MMC-6 6.25.3.4): first and last track, lead-out, the track itself."""
    control = _ADR_POSITION << 4 | mmc.DATA_TRACK
    points = ((0xA0, 1 << 16), (0xA1, 1 << 16), (0xA2, mmc.minutes(_end(unit))), (1, mmc.minutes(0)))
    body = b"".join(
        bytes((1, control, 0, point, 0, 0, 0, 0)) + where.to_bytes(3, "big") for point, where in points
    )
    return (len(body) + 2).to_bytes(2, "big") + b"\1\1" + body


def _end(unit: VirtualUnit) -> int:
    return min(unit.blocks, _LONGEST_TRACK)


def get_configuration(unit: VirtualUnit, command: Command) -> None:
    """GET CONFIGURATION: all features, those that are current, or one."""
    cdb = fields(mmc.GetConfiguration, command)
    if cdb.rt > 2:
        raise invalid_field(1, 1)
    now = profile(unit.blocks) if unit.not_ready is None else Profile.NONE
    features = [one for one in _features(unit, now) if one.code >= cdb.starting_feature_number]
    if cdb.rt == 1:
        features = [one for one in features if one.current]
    elif cdb.rt == 2:
        features = [one for one in features if one.code == cdb.starting_feature_number]
    data = mmc.encode_configuration(mmc.Configuration(profile=now, features=tuple(features)))
    send(command, data, cdb.allocation_length)


def _features(unit: VirtualUnit, now: Profile) -> list[mmc.Feature]:
    """Return what the drive can do; `now` is the kind of disc that is in it."""
    code = mmc.FeatureCode
    kinds = (Profile.DVD_ROM, Profile.CD_ROM)
    profiles = b"".join(kind.to_bytes(2, "big") + bytes((kind == now, 0)) for kind in kinds)
    readable = unit.block_size.to_bytes(4, "big") + b"\0\1\0\0"
    serial = unit.spec.serial.encode("ascii")
    there = now != Profile.NONE

    def always(number: int, version: int = 0, data: bytes = b"") -> mmc.Feature:
        return mmc.Feature(code=number, version=version, persistent=True, current=True, data=data)

    return [
        always(code.PROFILE_LIST, data=profiles),
        always(code.CORE, 2, b"\0\0\0\1\1\0\0\0"),  # SCSI, with the event of a busy device
        always(code.MORPHING, 1, bytes(4)),
        always(code.REMOVABLE_MEDIUM, 2, b"\x39\0\0\0"),  # a tray that loads, ejects and locks
        mmc.Feature(code=code.RANDOM_READABLE, current=there, data=readable),
        mmc.Feature(code=code.MULTI_READ, current=now == Profile.CD_ROM),
        mmc.Feature(code=code.CD_READ, version=2, current=now == Profile.CD_ROM, data=bytes(4)),
        mmc.Feature(code=code.DVD_READ, current=now == Profile.DVD_ROM),
        always(code.POWER_MANAGEMENT),
        always(code.TIME_OUT),
        always(code.SERIAL_NUMBER, data=serial.ljust(-len(serial) % 4 + len(serial))),
    ]


def get_event_status(unit: VirtualUnit, command: Command) -> None:
    """GET EVENT STATUS NOTIFICATION: a media event first, else what the first class asked for is like."""
    cdb = fields(mmc.GetEventStatus, command)
    if not cdb.polled:
        raise invalid_field(1, 0)
    wanted = cdb.notification_class_request & _CLASSES
    if not wanted:
        header = mmc.EventHeader(event_descriptor_length=2, nea=True, supported_event_classes=_CLASSES)
        send(command, header.encode(), cdb.allocation_length)
        return
    number = (wanted & -wanted).bit_length() - 1
    if wanted & EventClass.MEDIA and unit.disc.has_event(command.nexus):
        number = EventClass.MEDIA.bit_length() - 1
    event = bytes(4)
    if 1 << number == EventClass.POWER_MANAGEMENT:
        event = _POWER_ACTIVE
    elif 1 << number == EventClass.MEDIA:
        room_for_it = cdb.allocation_length >= mmc.EventHeader.size + mmc.MediaEvent.size
        event = mmc.MediaEvent(
            event_code=unit.disc.take(command.nexus) if room_for_it else 0,
            media_present=unit.not_ready is None,
            door_or_tray_open=unit.not_ready is not None,
        ).encode()
    header = mmc.EventHeader(
        event_descriptor_length=2 + len(event), notification_class=number, supported_event_classes=_CLASSES
    )
    send(command, header.encode() + event, cdb.allocation_length)


def read_disc_information(unit: VirtualUnit, command: Command) -> None:
    """READ DISC INFORMATION: a disc with one session, which is closed."""
    cdb = fields(mmc.ReadDiscInformation, command)
    if cdb.data_type:
        raise invalid_field(1, 2)
    information = mmc.DiscInformation(
        disc_information_length=mmc.DiscInformation.size - 2,
        state_of_last_session=_COMPLETE_SESSION,
        disc_status=_FINALIZED_DISC,
        number_of_first_track=1,
        number_of_sessions=1,
        first_track_in_last_session=1,
        last_track_in_last_session=1,
        uru=True,
        last_session_lead_in_start_address=_NOT_KNOWN,
        last_possible_lead_out_start_address=_NOT_KNOWN,
    )
    send(command, information.encode(), cdb.allocation_length)


def read_track_information(unit: VirtualUnit, command: Command) -> None:
    """READ TRACK INFORMATION, by LBA, track or session."""
    cdb = fields(mmc.ReadTrackInformation, command)
    if cdb.address_type > 2:
        raise invalid_field(1, 1)
    if cdb.address >= unit.blocks if cdb.address_type == 0 else cdb.address != 1:
        raise lba_out_of_range() if cdb.address_type == 0 else invalid_field(2)
    information = mmc.TrackInformation(
        track_information_length=mmc.TrackInformation.size - 2,
        track_number=1,
        session_number=1,
        track_mode=mmc.DATA_TRACK,
        data_mode=_MODE_1,
        lra_v=True,
        track_size=_end(unit),
        last_recorded_address=_end(unit) - 1,
    )
    send(command, information.encode(), cdb.allocation_length)


def mechanism_status(unit: VirtualUnit, command: Command) -> None:
    """MECHANISM STATUS: idle, and whether the tray is open."""
    cdb = fields(mmc.MechanismStatus, command)
    status = mmc.MechanismStatusHeader(door_open=unit.not_ready is not None)
    send(command, status.encode(), cdb.allocation_length)


def set_cd_speed(unit: VirtualUnit, command: Command) -> None:
    """SET CD SPEED: remembered for mode page 2Ah; blocks come as quickly as they ever do."""
    cdb = fields(mmc.SetCdSpeed, command)
    if not cdb.logical_unit_read_speed:
        raise invalid_field(2)
    unit.disc.speed_kbytes = min(cdb.logical_unit_read_speed, FASTEST_KBYTES)
    no_data(command)


def read_cd(unit: VirtualUnit, command: Command) -> None:
    """READ CD: the user data of mode 1 sectors; headers and sub-channels were never there."""
    cdb = fields(mmc.ReadCd, command)
    if profile(unit.blocks) != Profile.CD_ROM:
        raise illegal_request(0x30, 0x02)  # incompatible format
    if cdb.expected_sector_type not in (_ANY_TYPE, _MODE_1_TYPE):
        raise illegal_request(0x64)
    if cdb.main_channel & 0xFE not in (0, _USER_DATA):
        raise invalid_field(9)
    if cdb.sub_channel:
        raise invalid_field(10, 2)
    if cdb.starting_logical_block_address + cdb.transfer_length > unit.blocks:
        raise lba_out_of_range()
    if cdb.transfer_length > unit.max_blocks:
        raise invalid_field(6)
    wanted = cdb.transfer_length * unit.block_size if cdb.main_channel & _USER_DATA else 0
    buffer = command.data_in
    if buffer is None or not wanted:
        no_data(command)
        return
    moved = min(wanted, len(buffer))
    unit.medium.read_into(cdb.starting_logical_block_address * unit.block_size, buffer[:moved])
    command.residual = command.requested_bytes - moved


def seek(unit: VirtualUnit, command: Command) -> None:
    """SEEK(10): nothing moves."""
    if int.from_bytes(command.cdb[2:6], "big") >= unit.blocks:
        raise lba_out_of_range()
    no_data(command)


DISC_TABLE: dict[int, Handler] = {
    Opcode.SEEK_10: seek,
    Opcode.READ_TOC_PMA_ATIP: read_toc,
    Opcode.GET_CONFIGURATION: get_configuration,
    Opcode.GET_EVENT_STATUS_NOTIFICATION: get_event_status,
    Opcode.READ_DISC_INFORMATION: read_disc_information,
    Opcode.READ_TRACK_INFORMATION: read_track_information,
    Opcode.SET_CD_SPEED: set_cd_speed,
    Opcode.MECHANISM_STATUS: mechanism_status,
    Opcode.READ_CD: read_cd,
}
