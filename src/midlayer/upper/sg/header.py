"""The structures of ``<scsi/sg.h>`` and ``<linux/bsg.h>``, in the byte order of the machine.

Each is declared as the header file prints it: a field a line, and its `struct` letter beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

DXFER_NONE, DXFER_TO_DEV, DXFER_FROM_DEV, DXFER_TO_FROM_DEV, DXFER_UNKNOWN = -1, -2, -3, -4, -5

FLAG_DIRECT_IO, FLAG_MMAP_IO, FLAG_Q_AT_TAIL = 0x1, 0x4, 0x10
INFO_CHECK, INFO_DIRECT_IO = 0x1, 0x2
DRIVER_SENSE = 0x08

OLD_HEADER_BYTES = 36
OLD_SENSE_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Abi:
    """One form of ``sg_io_hdr``, and of ``sg_iovec``.

    Attributes:
        request: The members that the caller fills in.
        answer_at: Where the driver's members begin.
        size: Of the whole structure.
        iovec: Base and length of one piece.
        pack_id_at: Where ``pack_id`` is.
        address_end: First address that no program can have.
    """

    request: Struct
    answer_at: int
    size: int
    iovec: Struct
    pack_id_at: int
    address_end: int


LP64 = Abi(
    request=Struct(
        "="
        "i"  # interface_id
        "i"  # dxfer_direction
        "B"  # cmd_len
        "B"  # mx_sb_len
        "H"  # iovec_count
        "I"  # dxfer_len
        "Q"  # dxferp
        "Q"  # cmdp
        "Q"  # sbp
        "I"  # timeout
        "I"  # flags
        "i4x"  # pack_id
        "Q"  # usr_ptr
    ),
    answer_at=64,
    size=88,
    iovec=Struct("=QQ"),
    pack_id_at=48,
    address_end=0x7FFF_FFFF_F000,
)
ILP32 = Abi(
    request=Struct("=iiBBHIIIIIIiI"),
    answer_at=44,
    size=64,
    iovec=Struct("=II"),
    pack_id_at=36,
    address_end=0xFFFF_E000,
)

ANSWER = Struct(
    "="
    "B"  # status
    "B"  # masked_status
    "B"  # msg_status
    "B"  # sb_len_wr
    "H"  # host_status
    "H"  # driver_status
    "i"  # resid
    "I"  # duration
    "I"  # info
)
"""The members of ``sg_io_hdr`` that the driver fills in."""


class OldHeader(NamedTuple):
    """``sg_header``, of the first and second version of the interface, without its sense buffer."""

    pack_len: int
    reply_len: int
    pack_id: int
    result: int
    bits: int
    """``twelve_byte:1 target_status:5 host_status:8 driver_status:8``, from the low bit."""

    @property
    def twelve_byte(self) -> bool:
        """A vendor's command of 12 bytes follows."""
        return bool(self.bits & 1)


OLD_HEADER = Struct("=iiiiI")


def old_bits(*, twelve_byte: bool, target_status: int, host_status: int, driver_status: int) -> int:
    """Return the word of bit fields of ``sg_header``."""
    return (
        twelve_byte | (target_status & 0x1F) << 1 | (host_status & 0xFF) << 6 | (driver_status & 0xFF) << 14
    )


SCSI_ID = Struct(
    "="
    "i"  # host_no
    "i"  # channel
    "i"  # scsi_id
    "i"  # lun
    "i"  # scsi_type
    "h"  # h_cmd_per_lun
    "h"  # d_queue_depth
    "8x"  # unused
)
"""``sg_scsi_id``."""

REQ_INFO = Struct(
    "="
    "b"  # req_state
    "b"  # orphan
    "b"  # sg_io_owned
    "b"  # problem
    "i"  # pack_id
    "Q"  # usr_ptr
    "I"  # duration
    "i"  # unused
)
"""``sg_req_info``."""


class SgIoV4(NamedTuple):
    """The members of ``sg_io_v4`` that the caller fills in."""

    guard: int
    protocol: int
    subprotocol: int
    request_len: int
    request: int
    request_tag: int
    request_attr: int
    request_priority: int
    request_extra: int
    max_response_len: int
    response: int
    dout_iovec_count: int
    dout_xfer_len: int
    din_iovec_count: int
    din_xfer_len: int
    dout_xferp: int
    din_xferp: int
    timeout: int
    flags: int
    usr_ptr: int
    spare_in: int


V4_REQUEST = Struct(
    "="
    "i"  # guard
    "I"  # protocol
    "I"  # subprotocol
    "I"  # request_len
    "Q"  # request
    "Q"  # request_tag
    "I"  # request_attr
    "I"  # request_priority
    "I"  # request_extra
    "I"  # max_response_len
    "Q"  # response
    "I"  # dout_iovec_count
    "I"  # dout_xfer_len
    "I"  # din_iovec_count
    "I"  # din_xfer_len
    "Q"  # dout_xferp
    "Q"  # din_xferp
    "I"  # timeout
    "I"  # flags
    "Q"  # usr_ptr
    "I"  # spare_in
)
V4_ANSWER = Struct(
    "="
    "I"  # driver_status
    "I"  # transport_status
    "I"  # device_status
    "I"  # retry_delay
    "I"  # info
    "I"  # duration
    "I"  # response_len
    "i"  # din_resid
    "i"  # dout_resid
    "Q"  # generated_tag
)
V4_ANSWER_AT, V4_BYTES = 108, 160
