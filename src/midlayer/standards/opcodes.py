"""Operation codes, service actions, CDB lengths, and the one line that describes a CDB.

The names are T10's (op-num, SPC-4 annex E). Where one code means different things to different device
types, the enumeration has every name and the direct access one comes first: it is what `command_name`
prints. Every function here takes any bytes and never raises: they feed log lines.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

__all__ = ["SERVICE_ACTIONS", "Opcode", "cdb_length", "cdb_length_of", "command_name", "describe_cdb"]


class Opcode(IntEnum):
    """The first byte of a CDB."""

    TEST_UNIT_READY = 0x00
    REZERO_UNIT = 0x01
    REWIND = 0x01
    REQUEST_SENSE = 0x03
    FORMAT_UNIT = 0x04
    FORMAT_MEDIUM = 0x04
    READ_BLOCK_LIMITS = 0x05
    REASSIGN_BLOCKS = 0x07
    INITIALIZE_ELEMENT_STATUS = 0x07
    READ_6 = 0x08
    WRITE_6 = 0x0A
    SEEK_6 = 0x0B
    SET_CAPACITY = 0x0B
    READ_REVERSE_6 = 0x0F
    WRITE_FILEMARKS_6 = 0x10
    SPACE_6 = 0x11
    INQUIRY = 0x12
    VERIFY_6 = 0x13
    RECOVER_BUFFERED_DATA = 0x14
    MODE_SELECT_6 = 0x15
    RESERVE_6 = 0x16
    RELEASE_6 = 0x17
    COPY = 0x18
    ERASE_6 = 0x19
    MODE_SENSE_6 = 0x1A
    START_STOP_UNIT = 0x1B
    LOAD_UNLOAD = 0x1B
    RECEIVE_DIAGNOSTIC_RESULTS = 0x1C
    SEND_DIAGNOSTIC = 0x1D
    PREVENT_ALLOW_MEDIUM_REMOVAL = 0x1E
    READ_FORMAT_CAPACITIES = 0x23
    SET_WINDOW = 0x24
    READ_CAPACITY_10 = 0x25
    READ_10 = 0x28
    READ_GENERATION = 0x29
    WRITE_10 = 0x2A
    SEEK_10 = 0x2B
    LOCATE_10 = 0x2B
    POSITION_TO_ELEMENT = 0x2B
    ERASE_10 = 0x2C
    READ_UPDATED_BLOCK = 0x2D
    WRITE_AND_VERIFY_10 = 0x2E
    VERIFY_10 = 0x2F
    SEARCH_DATA_HIGH_10 = 0x30
    SEARCH_DATA_EQUAL_10 = 0x31
    SEARCH_DATA_LOW_10 = 0x32
    SET_LIMITS_10 = 0x33
    PRE_FETCH_10 = 0x34
    READ_POSITION = 0x34
    SYNCHRONIZE_CACHE_10 = 0x35
    LOCK_UNLOCK_CACHE_10 = 0x36
    READ_DEFECT_DATA_10 = 0x37
    INITIALIZE_ELEMENT_STATUS_WITH_RANGE = 0x37
    FORMAT_WITH_PRESET = 0x38
    MEDIUM_SCAN = 0x38
    COMPARE = 0x39
    COPY_AND_VERIFY = 0x3A
    WRITE_BUFFER = 0x3B
    READ_BUFFER_10 = 0x3C
    UPDATE_BLOCK = 0x3D
    READ_LONG_10 = 0x3E
    WRITE_LONG_10 = 0x3F
    CHANGE_DEFINITION = 0x40
    WRITE_SAME_10 = 0x41
    UNMAP = 0x42
    READ_SUB_CHANNEL = 0x42
    READ_TOC_PMA_ATIP = 0x43
    REPORT_DENSITY_SUPPORT = 0x44
    PLAY_AUDIO_10 = 0x45
    GET_CONFIGURATION = 0x46
    PLAY_AUDIO_MSF = 0x47
    SANITIZE = 0x48
    GET_EVENT_STATUS_NOTIFICATION = 0x4A
    PAUSE_RESUME = 0x4B
    LOG_SELECT = 0x4C
    LOG_SENSE = 0x4D
    STOP_PLAY_SCAN = 0x4E
    XDWRITE_10 = 0x50
    XPWRITE_10 = 0x51
    READ_DISC_INFORMATION = 0x51
    XDREAD_10 = 0x52
    READ_TRACK_INFORMATION = 0x52
    XDWRITEREAD_10 = 0x53
    RESERVE_TRACK = 0x53
    SEND_OPC_INFORMATION = 0x54
    MODE_SELECT_10 = 0x55
    RESERVE_10 = 0x56
    RELEASE_10 = 0x57
    REPAIR_TRACK = 0x58
    MODE_SENSE_10 = 0x5A
    CLOSE_TRACK_SESSION = 0x5B
    READ_BUFFER_CAPACITY = 0x5C
    SEND_CUE_SHEET = 0x5D
    PERSISTENT_RESERVE_IN = 0x5E
    PERSISTENT_RESERVE_OUT = 0x5F
    EXTENDED_CDB = 0x7E
    VARIABLE_LENGTH_CDB = 0x7F
    WRITE_FILEMARKS_16 = 0x80
    READ_REVERSE_16 = 0x81
    THIRD_PARTY_COPY_OUT = 0x83
    THIRD_PARTY_COPY_IN = 0x84
    ATA_PASS_THROUGH_16 = 0x85
    ACCESS_CONTROL_IN = 0x86
    ACCESS_CONTROL_OUT = 0x87
    READ_16 = 0x88
    COMPARE_AND_WRITE = 0x89
    WRITE_16 = 0x8A
    ORWRITE_16 = 0x8B
    READ_ATTRIBUTE = 0x8C
    WRITE_ATTRIBUTE = 0x8D
    WRITE_AND_VERIFY_16 = 0x8E
    VERIFY_16 = 0x8F
    PRE_FETCH_16 = 0x90
    SYNCHRONIZE_CACHE_16 = 0x91
    SPACE_16 = 0x91
    LOCK_UNLOCK_CACHE_16 = 0x92
    LOCATE_16 = 0x92
    WRITE_SAME_16 = 0x93
    ERASE_16 = 0x93
    ZBC_OUT = 0x94
    ZBC_IN = 0x95
    READ_BUFFER_16 = 0x9B
    WRITE_ATOMIC_16 = 0x9C
    SERVICE_ACTION_BIDIRECTIONAL = 0x9D
    SERVICE_ACTION_IN_16 = 0x9E
    SERVICE_ACTION_OUT_16 = 0x9F
    REPORT_LUNS = 0xA0
    ATA_PASS_THROUGH_12 = 0xA1
    BLANK = 0xA1
    SECURITY_PROTOCOL_IN = 0xA2
    MAINTENANCE_IN = 0xA3
    SEND_KEY = 0xA3
    MAINTENANCE_OUT = 0xA4
    REPORT_KEY = 0xA4
    MOVE_MEDIUM = 0xA5
    PLAY_AUDIO_12 = 0xA5
    EXCHANGE_MEDIUM = 0xA6
    LOAD_UNLOAD_MEDIUM = 0xA6
    MOVE_MEDIUM_ATTACHED = 0xA7
    SET_READ_AHEAD = 0xA7
    READ_12 = 0xA8
    SERVICE_ACTION_OUT_12 = 0xA9
    WRITE_12 = 0xAA
    SERVICE_ACTION_IN_12 = 0xAB
    ERASE_12 = 0xAC
    GET_PERFORMANCE = 0xAC
    READ_DISC_STRUCTURE = 0xAD
    WRITE_AND_VERIFY_12 = 0xAE
    VERIFY_12 = 0xAF
    SEARCH_DATA_HIGH_12 = 0xB0
    SEARCH_DATA_EQUAL_12 = 0xB1
    SEARCH_DATA_LOW_12 = 0xB2
    SET_LIMITS_12 = 0xB3
    READ_ELEMENT_STATUS_ATTACHED = 0xB4
    SECURITY_PROTOCOL_OUT = 0xB5
    REQUEST_VOLUME_ELEMENT_ADDRESS = 0xB5
    SEND_VOLUME_TAG = 0xB6
    SET_STREAMING = 0xB6
    READ_DEFECT_DATA_12 = 0xB7
    READ_ELEMENT_STATUS = 0xB8
    READ_CD_MSF = 0xB9
    REDUNDANCY_GROUP_IN = 0xBA
    SCAN = 0xBA
    REDUNDANCY_GROUP_OUT = 0xBB
    SET_CD_SPEED = 0xBB
    SPARE_IN = 0xBC
    SPARE_OUT = 0xBD
    MECHANISM_STATUS = 0xBD
    VOLUME_SET_IN = 0xBE
    READ_CD = 0xBE
    VOLUME_SET_OUT = 0xBF
    SEND_DISC_STRUCTURE = 0xBF


# Names that do not follow from the member's: punctuation of T10's own.
_SPELLED = {
    Opcode.READ_TOC_PMA_ATIP: "READ TOC/PMA/ATIP",
    Opcode.ATA_PASS_THROUGH_12: "ATA PASS-THROUGH(12)",
    Opcode.ATA_PASS_THROUGH_16: "ATA PASS-THROUGH(16)",
    Opcode.PRE_FETCH_10: "PRE-FETCH(10)",
    Opcode.PRE_FETCH_16: "PRE-FETCH(16)",
    Opcode.PAUSE_RESUME: "PAUSE/RESUME",
    Opcode.STOP_PLAY_SCAN: "STOP PLAY/SCAN",
    Opcode.CLOSE_TRACK_SESSION: "CLOSE TRACK/SESSION",
    Opcode.VARIABLE_LENGTH_CDB: "VARIABLE LENGTH CDB",
}

# Operation code -> service action -> name (SPC-4 6.1, SBC-4 5.1, SSC-4, OSD is left out).
SERVICE_ACTIONS: dict[int, dict[int, str]] = {
    Opcode.SANITIZE: {
        0x01: "SANITIZE, overwrite",
        0x02: "SANITIZE, block erase",
        0x03: "SANITIZE, cryptographic erase",
        0x1F: "SANITIZE, exit failure mode",
    },
    Opcode.PERSISTENT_RESERVE_IN: {
        0x00: "PERSISTENT RESERVE IN, read keys",
        0x01: "PERSISTENT RESERVE IN, read reservation",
        0x02: "PERSISTENT RESERVE IN, report capabilities",
        0x03: "PERSISTENT RESERVE IN, read full status",
    },
    Opcode.PERSISTENT_RESERVE_OUT: {
        0x00: "PERSISTENT RESERVE OUT, register",
        0x01: "PERSISTENT RESERVE OUT, reserve",
        0x02: "PERSISTENT RESERVE OUT, release",
        0x03: "PERSISTENT RESERVE OUT, clear",
        0x04: "PERSISTENT RESERVE OUT, preempt",
        0x05: "PERSISTENT RESERVE OUT, preempt and abort",
        0x06: "PERSISTENT RESERVE OUT, register and ignore existing key",
        0x07: "PERSISTENT RESERVE OUT, register and move",
        0x08: "PERSISTENT RESERVE OUT, replace lost reservation",
    },
    Opcode.VARIABLE_LENGTH_CDB: {
        0x0003: "XDREAD(32)",
        0x0004: "XDWRITE(32)",
        0x0006: "XPWRITE(32)",
        0x0007: "XDWRITEREAD(32)",
        0x0009: "READ(32)",
        0x000A: "VERIFY(32)",
        0x000B: "WRITE(32)",
        0x000C: "WRITE AND VERIFY(32)",
        0x000D: "WRITE SAME(32)",
        0x000E: "ORWRITE(32)",
        0x000F: "WRITE ATOMIC(32)",
        0x0010: "WRITE STREAM(32)",
        0x0011: "WRITE SCATTERED(32)",
        0x0012: "GET LBA STATUS(32)",
        0x1800: "RECEIVE CREDENTIAL",
        0x1FF0: "ATA PASS-THROUGH(32)",
    },
    Opcode.THIRD_PARTY_COPY_OUT: {
        0x00: "EXTENDED COPY(LID1)",
        0x01: "EXTENDED COPY(LID4)",
        0x10: "POPULATE TOKEN",
        0x11: "WRITE USING TOKEN",
        0x1C: "COPY OPERATION ABORT",
    },
    Opcode.THIRD_PARTY_COPY_IN: {
        0x00: "RECEIVE COPY STATUS(LID1)",
        0x01: "RECEIVE COPY DATA(LID1)",
        0x03: "RECEIVE COPY OPERATING PARAMETERS",
        0x04: "RECEIVE COPY FAILURE DETAILS(LID1)",
        0x05: "RECEIVE COPY STATUS(LID4)",
        0x06: "RECEIVE COPY DATA(LID4)",
        0x07: "RECEIVE ROD TOKEN INFORMATION",
        0x08: "REPORT ALL ROD TOKENS",
    },
    Opcode.READ_ATTRIBUTE: {
        0x00: "READ ATTRIBUTE, attribute values",
        0x01: "READ ATTRIBUTE, attribute list",
        0x02: "READ ATTRIBUTE, logical volume list",
        0x03: "READ ATTRIBUTE, partition list",
        0x05: "READ ATTRIBUTE, supported attributes",
    },
    Opcode.ZBC_OUT: {
        0x01: "CLOSE ZONE",
        0x02: "FINISH ZONE",
        0x03: "OPEN ZONE",
        0x04: "RESET WRITE POINTER",
        0x10: "SEQUENTIALIZE ZONE",
    },
    Opcode.ZBC_IN: {0x00: "REPORT ZONES", 0x06: "REPORT REALMS", 0x07: "REPORT ZONE DOMAINS"},
    Opcode.SERVICE_ACTION_BIDIRECTIONAL: {},
    Opcode.SERVICE_ACTION_IN_16: {
        0x0F: "RECEIVE BINDING REPORT",
        0x10: "READ CAPACITY(16)",
        0x11: "READ LONG(16)",
        0x12: "GET LBA STATUS(16)",
        0x13: "REPORT REFERRALS",
        0x14: "STREAM CONTROL",
        0x15: "BACKGROUND CONTROL",
        0x16: "GET STREAM STATUS",
        0x17: "GET PHYSICAL ELEMENT STATUS",
        0x18: "REMOVE ELEMENT AND TRUNCATE",
        0x19: "RESTORE ELEMENTS AND REBUILD",
        0x1A: "REMOVE ELEMENT AND MODIFY ZONES",
    },
    Opcode.SERVICE_ACTION_OUT_16: {
        0x0B: "TEST BIND",
        0x0C: "PREPARE BIND REPORT",
        0x0D: "SET AFFILIATION",
        0x0E: "BIND",
        0x0F: "UNBIND",
        0x11: "WRITE LONG(16)",
        0x12: "WRITE SCATTERED(16)",
    },
    Opcode.MAINTENANCE_IN: {
        0x05: "REPORT IDENTIFYING INFORMATION",
        0x0A: "REPORT TARGET PORT GROUPS",
        0x0B: "REPORT ALIASES",
        0x0C: "REPORT SUPPORTED OPERATION CODES",
        0x0D: "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
        0x0E: "REPORT PRIORITY",
        0x0F: "REPORT TIMESTAMP",
        0x10: "MANAGEMENT PROTOCOL IN",
    },
    Opcode.MAINTENANCE_OUT: {
        0x06: "SET IDENTIFYING INFORMATION",
        0x0A: "SET TARGET PORT GROUPS",
        0x0B: "CHANGE ALIASES",
        0x0C: "REMOVE I_T NEXUS",
        0x0E: "SET PRIORITY",
        0x0F: "SET TIMESTAMP",
        0x10: "MANAGEMENT PROTOCOL OUT",
    },
    Opcode.SERVICE_ACTION_OUT_12: {0x1F: "SET MEDIUM ATTRIBUTE"},
    Opcode.SERVICE_ACTION_IN_12: {0x01: "READ MEDIA SERIAL NUMBER"},
}

_GROUP_LENGTHS = (6, 10, 10, 12, 16, 12, 10, 10)


def _title(member: Opcode) -> str:
    """``READ_16`` -> ``READ(16)``, ``REPORT_LUNS`` -> ``REPORT LUNS``."""
    stem, _, number = member.name.rpartition("_")
    name = f"{stem}({number})" if number.isdigit() else member.name
    return name.replace("_", " ")


_NAMES: dict[int, str] = {int(member): _SPELLED.get(member) or _title(member) for member in Opcode}


def cdb_length(opcode: int) -> int | None:
    """Return the CDB's length in bytes by the group of its operation code (COMMAND_SIZE of the kernel).

    Returns None for 7Eh and 7Fh, whose length is in the CDB: see `cdb_length_of`.
    """
    return None if opcode in (0x7E, 0x7F) else _GROUP_LENGTHS[opcode >> 5 & 7]


def cdb_length_of(cdb: bytes) -> int | None:
    """Return the length that a CDB claims to have, or None if it is too short to say.

    A variable length CDB (7Fh, SPC-4 4.2.3) has 8 bytes and as many more as byte 7 says; every other
    CDB goes by its group. An extended CDB (7Eh) says nothing of its own length here.
    """
    if not cdb:
        return None
    if cdb[0] == Opcode.VARIABLE_LENGTH_CDB:
        return 8 + cdb[7] if len(cdb) > 7 else None
    return cdb_length(cdb[0])


def _service_action(cdb: bytes) -> int | None:
    """Return the service action, if the CDB is long enough to have one."""
    if cdb[0] == Opcode.VARIABLE_LENGTH_CDB:
        return int.from_bytes(cdb[8:10], "big") if len(cdb) >= 10 else None
    return cdb[1] & 0x1F if len(cdb) > 1 else None


def command_name(cdb: bytes) -> str:
    """Return T10's name of a command: ``READ(16)``, ``READ CAPACITY(16)``, ``REPORT LUNS``.

    A code without a name reads as ``vendor specific C1h`` or ``unknown 02h``, no bytes as ``no command``.
    """
    if not cdb:
        return "no command"
    opcode = cdb[0]
    actions = SERVICE_ACTIONS.get(opcode)
    action = _service_action(cdb) if actions is not None else None
    if actions is not None and action is not None:
        return actions.get(action) or f"{_NAMES[opcode]} service action {action:02x}h"
    return _NAMES.get(opcode) or f"{'vendor specific' if opcode >= 0xC0 else 'unknown'} {opcode:02x}h"


def _blocks(lba: int, lba_length: int, count: int, count_length: int) -> Callable[[bytes], str]:
    """Return a function that reads an LBA and a number of blocks at these places."""

    def describe(cdb: bytes) -> str:
        first = int.from_bytes(cdb[lba : lba + lba_length], "big")
        return f"lba={first} blocks={int.from_bytes(cdb[count : count + count_length], 'big')}"

    return describe


def _blocks_6(cdb: bytes) -> str:
    """READ(6) and WRITE(6): a 21-bit LBA, and a length of 0 stands for 256 (SBC-3 5.10)."""
    return f"lba={int.from_bytes(cdb[1:4], 'big') & 0x1FFFFF} blocks={cdb[4] or 256}"


def _length(at: int, size: int) -> Callable[[bytes], str]:
    """Return a function that reads an allocation or parameter list length."""
    return lambda cdb: f"length={int.from_bytes(cdb[at : at + size], 'big')}"


def _inquiry(cdb: bytes) -> str:
    page = f"page={cdb[2]:02x}h " if cdb[1] & 1 else ""
    return f"{page}length={int.from_bytes(cdb[3:5], 'big')}"


def _mode_sense(at: int, size: int) -> Callable[[bytes], str]:
    def describe(cdb: bytes) -> str:
        page = f"{cdb[2] & 0x3F:02x}h" + (f",{cdb[3]:02x}h" if cdb[3] else "")
        return f"page={page} length={int.from_bytes(cdb[at : at + size], 'big')}"

    return describe


def _log_sense(cdb: bytes) -> str:
    return f"page={cdb[2] & 0x3F:02x}h length={int.from_bytes(cdb[7:9], 'big')}"


def _start_stop(cdb: bytes) -> str:
    return f"start={cdb[4] & 1} loej={cdb[4] >> 1 & 1} power_condition={cdb[4] >> 4}"


_AT_10 = _blocks(2, 4, 7, 2)
_AT_12 = _blocks(2, 4, 6, 4)
_AT_16 = _blocks(2, 8, 10, 4)

# (operation code, service action or None) -> the operands, for a CDB of full length.
_OPERANDS: dict[tuple[int, int | None], Callable[[bytes], str]] = {
    (Opcode.READ_6, None): _blocks_6,
    (Opcode.WRITE_6, None): _blocks_6,
    **{
        (opcode, None): _AT_10
        for opcode in (
            Opcode.READ_10,
            Opcode.WRITE_10,
            Opcode.WRITE_AND_VERIFY_10,
            Opcode.VERIFY_10,
            Opcode.PRE_FETCH_10,
            Opcode.SYNCHRONIZE_CACHE_10,
            Opcode.WRITE_SAME_10,
        )
    },
    **{
        (opcode, None): _AT_12
        for opcode in (Opcode.READ_12, Opcode.WRITE_12, Opcode.WRITE_AND_VERIFY_12, Opcode.VERIFY_12)
    },
    **{
        (opcode, None): _AT_16
        for opcode in (
            Opcode.READ_16,
            Opcode.WRITE_16,
            Opcode.ORWRITE_16,
            Opcode.WRITE_AND_VERIFY_16,
            Opcode.VERIFY_16,
            Opcode.PRE_FETCH_16,
            Opcode.SYNCHRONIZE_CACHE_16,
            Opcode.WRITE_SAME_16,
        )
    },
    (Opcode.COMPARE_AND_WRITE, None): _blocks(2, 8, 13, 1),
    (Opcode.WRITE_ATOMIC_16, None): _blocks(2, 8, 12, 2),
    **{(Opcode.VARIABLE_LENGTH_CDB, action): _blocks(12, 8, 28, 4) for action in (9, 10, 11, 12, 13, 14, 15)},
    (Opcode.INQUIRY, None): _inquiry,
    (Opcode.REQUEST_SENSE, None): _length(4, 1),
    (Opcode.MODE_SENSE_6, None): _mode_sense(4, 1),
    (Opcode.MODE_SENSE_10, None): _mode_sense(7, 2),
    (Opcode.MODE_SELECT_6, None): _length(4, 1),
    (Opcode.MODE_SELECT_10, None): _length(7, 2),
    (Opcode.LOG_SENSE, None): _log_sense,
    (Opcode.REPORT_LUNS, None): _length(6, 4),
    (Opcode.START_STOP_UNIT, None): _start_stop,
    (Opcode.UNMAP, None): _length(7, 2),
    (Opcode.SERVICE_ACTION_IN_16, 0x10): _length(10, 4),
    (Opcode.SERVICE_ACTION_IN_16, 0x12): lambda cdb: f"lba={int.from_bytes(cdb[2:10], 'big')}",
    (Opcode.MAINTENANCE_IN, 0x0A): _length(6, 4),
    (Opcode.MAINTENANCE_IN, 0x0C): _length(6, 4),
}


def describe_cdb(cdb: bytes) -> str:
    """Return one line for a log: ``READ(16) lba=4096 blocks=8``.

    The operands are those of the commands met most; a CDB that is shorter than its operation code asks
    for gets ``(N of M bytes)`` instead. Never raises.
    """
    name = command_name(cdb)
    if not cdb:
        return name
    wanted = cdb_length_of(cdb)
    if wanted is None or len(cdb) < wanted:
        return f"{name} ({len(cdb)} of {wanted or 'unknown'} bytes)"
    action = _service_action(cdb) if cdb[0] in SERVICE_ACTIONS else None
    operands = _OPERANDS.get((cdb[0], action))
    if operands is None or (cdb[0] == Opcode.VARIABLE_LENGTH_CDB and len(cdb) < 32):
        return name
    return f"{name} {operands(cdb)}"
