"""Which commands a descriptor that is not open for reading and writing may send (rule SG-26)."""

from __future__ import annotations

from midlayer.standards.spc import PeripheralDeviceType
from midlayer.upper.sg.parameters import Caller

SAFE_FOR_READ = frozenset(
    {
        0x00,  # TEST UNIT READY
        0x03,  # REQUEST SENSE
        0x08, 0x28, 0xA8, 0x88,  # READ (6), (10), (12), (16)
        0x3C,  # READ BUFFER
        0x37,  # READ DEFECT DATA (10)
        0x25,  # READ CAPACITY (10)
        0x3E,  # READ LONG (10)
        0x12,  # INQUIRY
        0x1A, 0x5A,  # MODE SENSE (6), (10)
        0x4D,  # LOG SENSE
        0x1B,  # START STOP UNIT
        0x2F, 0x8F,  # VERIFY (10), (16)
        0xA0,  # REPORT LUNS
        0x9E,  # SERVICE ACTION IN (16)
        0x1C,  # RECEIVE DIAGNOSTIC RESULTS
        0xA3,  # MAINTENANCE IN; MMC: SEND KEY
        0x5C,  # READ BUFFER CAPACITY
        0xBC, 0x45, 0x47, 0x48, 0x4B,  # PLAY CD, PLAY AUDIO (10), MSF, TRACK INDEX, PAUSE/RESUME
        0xBE, 0xB9,  # READ CD, READ CD MSF
        0x51, 0xAD, 0x44, 0x52,  # READ DISC INFORMATION, DISC STRUCTURE, HEADER, TRACK INFORMATION
        0x42, 0x43,  # READ SUBCHANNEL, READ TOC/PMA/ATIP
        0xA4,  # REPORT KEY
        0xBA,  # SCAN
        0x46,  # GET CONFIGURATION
        0x23,  # READ FORMAT CAPACITIES
        0x4A,  # GET EVENT STATUS NOTIFICATION
        0xAC,  # GET PERFORMANCE
        0x2B,  # SEEK (10)
        0x4E,  # STOP PLAY/SCAN
        0x95,  # ZBC IN
    }
)  # fmt: skip
"""Anybody who can open the device may send these."""

SAFE_FOR_WRITE = frozenset(
    {
        0x0A, 0x2A, 0xAA, 0x8A,  # WRITE (6), (10), (12), (16)
        0x2E, 0xAE,  # WRITE AND VERIFY (10), (12)
        0x3F, 0xEA,  # WRITE LONG (10), and the code that the kernel has for its long form
        0x41, 0x93, 0x0D,  # WRITE SAME (10), (16), and the service action of WRITE SAME (32) read as a code
        0x19,  # ERASE (6)
        0x55, 0x15,  # MODE SELECT (10), (6)
        0x4C,  # LOG SELECT
        0xA1,  # BLANK
        0x5B,  # CLOSE TRACK
        0x35,  # SYNCHRONIZE CACHE (10)
        0x04,  # FORMAT UNIT
        0x58, 0x53,  # REPAIR TRACK, RESERVE TRACK
        0xBF,  # SEND DISC STRUCTURE
        0xA2,  # SEND EVENT; SPC: SECURITY PROTOCOL IN
        0x54,  # SEND OPC INFORMATION
        0x5D,  # SEND CUE SHEET
        0xBB,  # SET CD SPEED
        0x1E,  # PREVENT ALLOW MEDIUM REMOVAL
        0xA6,  # LOAD/UNLOAD MEDIUM
        0xB6, 0xA7,  # SET STREAMING, SET READ AHEAD
        0x94,  # ZBC OUT
    }
)  # fmt: skip
"""These as well, through a descriptor that is open for writing."""


def is_allowed(cdb: bytes, caller: Caller, *, device_type: int | None = None, writable: bool) -> bool:
    """Say whether a command may pass.

    Args:
        cdb: The command; only its operation code counts.
        caller: CAP_SYS_RAWIO passes everything.
        device_type: Of the device, on an sg node: a scanner gets every command. None on other nodes.
        writable: The descriptor is open for writing.
    """
    if caller.sys_rawio or device_type == PeripheralDeviceType.SCANNER:
        return True
    opcode = cdb[0] if cdb else -1
    return opcode in SAFE_FOR_READ or (writable and opcode in SAFE_FOR_WRITE)
