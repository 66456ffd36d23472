"""A SCSI command as the target's side of a connection has it, and the data that it waits for."""

from __future__ import annotations

from typing import Any

CDB_BYTES = (6,) * 32 + (10,) * 64 + (16,) * 64 + (12,) * 32 + (16,) * 64
"""Length of a CDB by its first byte (SPC-4 4.2.5.1); where the standard says nothing, all that came."""

_VARIABLE_LENGTH = 0x7F


class Burst:
    """Data that was asked for with one R2T, or that may come unasked: where it goes on, where it ends."""

    __slots__ = ("data_sn", "end", "next")

    def __init__(self, start: int, end: int) -> None:
        self.next = start
        self.end = end
        self.data_sn = 0


class Task:
    """One SCSI command.

    Attributes:
        tag: Initiator task tag.
        lun: Eight bytes.
        cdb: As long as its operation code says.
        expected_bytes: Expected data transfer length.
        read, write: Which way data goes, as the initiator sees it.
        attribute: `midlayer.iscsi.codes.TaskAttribute`.
        data_out: All data of a write, once it is all there. It may be a view of the reader's memory: whoever
            has not used it when the next bytes are received calls ``reader.keep()``.
        sequenced: True if it has a place in the command window.
        overflow_bytes: For the front end: how much more the CDB is about than the initiator has room for.
        owner: For the front end.
    """

    __slots__ = (
        "attribute",
        "bursts",
        "cdb",
        "cmd_sn",
        "data_out",
        "expected_bytes",
        "lun",
        "overflow_bytes",
        "owner",
        "r2t_sn",
        "read",
        "received_bytes",
        "requested_bytes",
        "sequenced",
        "tag",
        "write",
    )

    def __init__(  # noqa: PLR0917 (made for every command)
        self,
        tag: int,
        lun: bytes,
        cdb: bytes,
        flags: int,
        expected_bytes: int,
        cmd_sn: int,
        sequenced: bool,
    ) -> None:
        self.tag = tag
        self.lun = lun
        self.cdb = cdb
        self.expected_bytes = expected_bytes
        self.read = (flags & 0x40) != 0
        self.write = (flags & 0x20) != 0
        self.attribute = flags & 7
        self.cmd_sn = cmd_sn
        self.sequenced = sequenced
        self.data_out: memoryview | None = None
        self.bursts: dict[int, Burst] | None = None
        self.received_bytes = self.requested_bytes = 0
        self.r2t_sn = 0
        self.overflow_bytes = 0
        self.owner: Any = None

    def place(self, transfer_tag: int, offset: int, length: int, data_sn: int) -> memoryview | None:
        """Return where a Data-Out goes; None if it is not the next piece of a burst."""
        burst = self.bursts.get(transfer_tag) if self.bursts is not None else None
        if burst is None or data_sn != burst.data_sn or offset != burst.next or offset + length > burst.end:
            return None
        assert self.data_out is not None
        return self.data_out[offset : offset + length]


def trimmed_cdb(field: bytes, extension: bytes) -> bytes:
    """Return a CDB without the padding of the header's field, with what an AHS adds."""
    if extension:
        return field + extension
    first = field[0]
    if first == _VARIABLE_LENGTH:
        return field[: 8 + field[7]]
    return field[: CDB_BYTES[first]]
