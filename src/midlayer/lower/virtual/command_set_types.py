"""Commands that a device type has of its own, or that mean something else to it than to a disk."""

from __future__ import annotations

from collections.abc import Mapping

from midlayer.lower.virtual.command_rows import ALWAYS, READS, WRITES, Key, Row, rows
from midlayer.standards.spc import PeripheralDeviceType as Type

_TAPE = rows(
    (
        ("01 01 00 00 00 00", WRITES, True),  # REWIND
        ("05 00 00 00 00 00", ALWAYS, False),  # READ BLOCK LIMITS
        ("08 03 ff ff ff 00", READS, True),  # READ(6)
        ("0a 03 ff ff ff 00", WRITES, True),  # WRITE(6)
        ("10 03 ff ff ff 00", WRITES, True),  # WRITE FILEMARKS(6)
        ("11 0f ff ff ff 00", WRITES, True),  # SPACE(6)
        ("19 03 00 00 00 00", WRITES, True),  # ERASE(6)
        ("1b 01 00 00 0f 00", WRITES, False),  # LOAD UNLOAD
        ("2b 07 00 ff ff ff ff 00 ff 00", WRITES, True),  # LOCATE(10)
        ("34 1f 00 00 00 00 00 ff ff 00", ALWAYS, True),  # READ POSITION
        ("44 03 00 00 00 00 00 ff ff 00", ALWAYS, False),  # REPORT DENSITY SUPPORT
        ("91 0f 00 00 ff ff ff ff ff ff ff ff ff ff 00 00", WRITES, True),  # SPACE(16)
        ("92 3b 00 ff ff ff ff ff ff ff ff ff 00 00 00 00", WRITES, True),  # LOCATE(16)
    )
)

_CHANGER = rows(
    (
        ("07 00 00 00 00 00", WRITES, True),  # INITIALIZE ELEMENT STATUS
        ("2b 00 ff ff ff ff 00 00 01 00", WRITES, True),  # POSITION TO ELEMENT
        ("37 03 ff ff 00 00 ff ff 00 00", WRITES, True),  # INITIALIZE ELEMENT STATUS WITH RANGE
        ("a5 00 ff ff ff ff ff ff 00 00 01 00", WRITES, True),  # MOVE MEDIUM
        ("a6 00 ff ff ff ff ff ff ff ff 03 00", WRITES, True),  # EXCHANGE MEDIUM
        ("b8 1f ff ff ff ff 03 ff ff ff 00 00", READS, False),  # READ ELEMENT STATUS
    )
)

_DISC = rows(
    (
        ("2b 00 ff ff ff ff 00 00 00 00", READS, True),  # SEEK(10)
        ("43 02 0f 00 00 00 ff ff ff 00", READS, True),  # READ TOC/PMA/ATIP
        ("46 03 ff ff 00 00 00 ff ff 00", ALWAYS, False),  # GET CONFIGURATION
        ("4a 01 00 00 ff 00 00 ff ff 00", ALWAYS, False),  # GET EVENT STATUS NOTIFICATION
        ("51 07 00 00 00 00 00 ff ff 00", READS, True),  # READ DISC INFORMATION
        ("52 03 ff ff ff ff 00 ff ff 00", READS, True),  # READ TRACK INFORMATION
        ("bb 00 ff ff ff ff 00 00 00 00 00 00", WRITES, False),  # SET CD SPEED
        ("bd 00 00 00 00 00 00 00 ff ff 00 00", ALWAYS, False),  # MECHANISM STATUS
        ("be 1c ff ff ff ff ff ff ff ff 07 00", READS, True),  # READ CD
    )
)

OWN_ROWS: Mapping[int, Mapping[Key, Row]] = {
    Type.SEQUENTIAL_ACCESS: _TAPE,
    Type.CD_DVD: _DISC,
    Type.MEDIUM_CHANGER: _CHANGER,
}
"""Device type → rows that stand in the place of a disk's."""
