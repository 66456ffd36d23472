"""Every PDU's basic header segment, as the tables of RFC 7143 chapter 11 print it.

Tags and numbers have the RFC's names, written out. Lengths of what follows the header are filled in by
`encode_pdu`. The paths that carry commands and data pack some of these headers themselves; tests hold
them against the layouts here.
"""

from __future__ import annotations

from collections.abc import Iterator

from midlayer.iscsi.codes import HEADER_BYTES, Opcode
from midlayer.iscsi.errors import ProtocolError
from midlayer.layout import Layout, bits, flag, raw, uint


class NopOut(Layout, size=HEADER_BYTES):
    """NOP-Out (11.18)."""

    immediate: bool = flag(0, 6)
    opcode = bits(0, 5, 0, const=Opcode.NOP_OUT)
    final: bool = flag(1, 7)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    target_transfer_tag: int = uint(20, 4)
    cmd_sn: int = uint(24, 4)
    exp_stat_sn: int = uint(28, 4)


class NopIn(Layout, size=HEADER_BYTES):
    """NOP-In (11.19)."""

    opcode = bits(0, 5, 0, const=Opcode.NOP_IN)
    final: bool = flag(1, 7)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    target_transfer_tag: int = uint(20, 4)
    stat_sn: int = uint(24, 4)
    exp_cmd_sn: int = uint(28, 4)
    max_cmd_sn: int = uint(32, 4)


class ScsiCommand(Layout, size=HEADER_BYTES):
    """SCSI Command (11.3); `priority` is RFC 7144's."""

    immediate: bool = flag(0, 6)
    opcode = bits(0, 5, 0, const=Opcode.SCSI_COMMAND)
    final: bool = flag(1, 7)
    read: bool = flag(1, 6)
    write: bool = flag(1, 5)
    attribute: int = bits(1, 2, 0)
    priority: int = bits(2, 3, 0)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    expected_data_transfer_length: int = uint(20, 4)
    cmd_sn: int = uint(24, 4)
    exp_stat_sn: int = uint(28, 4)
    cdb: bytes = raw(32, 16)


class ScsiResponse(Layout, size=HEADER_BYTES):
    """SCSI Response (11.4)."""

    opcode = bits(0, 5, 0, const=Opcode.SCSI_RESPONSE)
    final: bool = flag(1, 7)
    bidirectional_overflow: bool = flag(1, 4)
    bidirectional_underflow: bool = flag(1, 3)
    overflow: bool = flag(1, 2)
    underflow: bool = flag(1, 1)
    response: int = uint(2)
    status: int = uint(3)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    initiator_task_tag: int = uint(16, 4)
    snack_tag: int = uint(20, 4)
    stat_sn: int = uint(24, 4)
    exp_cmd_sn: int = uint(28, 4)
    max_cmd_sn: int = uint(32, 4)
    exp_data_sn: int = uint(36, 4)
    bidirectional_read_residual_count: int = uint(40, 4)
    residual_count: int = uint(44, 4)


class TaskManagement(Layout, size=HEADER_BYTES):
    """Task Management Function Request (11.5)."""

    immediate: bool = flag(0, 6)
    opcode = bits(0, 5, 0, const=Opcode.TASK_MANAGEMENT)
    final: bool = flag(1, 7)
    function: int = bits(1, 6, 0)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    referenced_task_tag: int = uint(20, 4)
    cmd_sn: int = uint(24, 4)
    exp_stat_sn: int = uint(28, 4)
    ref_cmd_sn: int = uint(32, 4)
    exp_data_sn: int = uint(36, 4)


class TaskManagementResponse(Layout, size=HEADER_BYTES):
    """Task Management Function Response (11.6)."""

    opcode = bits(0, 5, 0, const=Opcode.TASK_MANAGEMENT_RESPONSE)
    final: bool = flag(1, 7)
    response: int = uint(2)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    initiator_task_tag: int = uint(16, 4)
    stat_sn: int = uint(24, 4)
    exp_cmd_sn: int = uint(28, 4)
    max_cmd_sn: int = uint(32, 4)


class DataOut(Layout, size=HEADER_BYTES):
    """SCSI Data-Out (11.7)."""

    opcode = bits(0, 5, 0, const=Opcode.DATA_OUT)
    final: bool = flag(1, 7)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    target_transfer_tag: int = uint(20, 4)
    exp_stat_sn: int = uint(28, 4)
    data_sn: int = uint(36, 4)
    buffer_offset: int = uint(40, 4)


class DataIn(Layout, size=HEADER_BYTES):
    """SCSI Data-In (11.7)."""

    opcode = bits(0, 5, 0, const=Opcode.DATA_IN)
    final: bool = flag(1, 7)
    acknowledge: bool = flag(1, 6)
    overflow: bool = flag(1, 2)
    underflow: bool = flag(1, 1)
    has_status: bool = flag(1, 0)
    status: int = uint(3)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    target_transfer_tag: int = uint(20, 4)
    stat_sn: int = uint(24, 4)
    exp_cmd_sn: int = uint(28, 4)
    max_cmd_sn: int = uint(32, 4)
    data_sn: int = uint(36, 4)
    buffer_offset: int = uint(40, 4)
    residual_count: int = uint(44, 4)


class R2T(Layout, size=HEADER_BYTES):
    """Ready To Transfer (11.8)."""

    opcode = bits(0, 5, 0, const=Opcode.R2T)
    final: bool = flag(1, 7)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    target_transfer_tag: int = uint(20, 4)
    stat_sn: int = uint(24, 4)
    exp_cmd_sn: int = uint(28, 4)
    max_cmd_sn: int = uint(32, 4)
    r2t_sn: int = uint(36, 4)
    buffer_offset: int = uint(40, 4)
    desired_data_transfer_length: int = uint(44, 4)


class AsyncMessage(Layout, size=HEADER_BYTES):
    """Asynchronous Message (11.9)."""

    opcode = bits(0, 5, 0, const=Opcode.ASYNC)
    final: bool = flag(1, 7)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    stat_sn: int = uint(24, 4)
    exp_cmd_sn: int = uint(28, 4)
    max_cmd_sn: int = uint(32, 4)
    async_event: int = uint(36)
    async_vcode: int = uint(37)
    parameter1: int = uint(38, 2)
    parameter2: int = uint(40, 2)
    parameter3: int = uint(42, 2)


class TextRequest(Layout, size=HEADER_BYTES):
    """Text Request (11.10)."""

    immediate: bool = flag(0, 6)
    opcode = bits(0, 5, 0, const=Opcode.TEXT)
    final: bool = flag(1, 7)
    continues: bool = flag(1, 6)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    target_transfer_tag: int = uint(20, 4)
    cmd_sn: int = uint(24, 4)
    exp_stat_sn: int = uint(28, 4)


class TextResponse(Layout, size=HEADER_BYTES):
    """Text Response (11.11)."""

    opcode = bits(0, 5, 0, const=Opcode.TEXT_RESPONSE)
    final: bool = flag(1, 7)
    continues: bool = flag(1, 6)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    target_transfer_tag: int = uint(20, 4)
    stat_sn: int = uint(24, 4)
    exp_cmd_sn: int = uint(28, 4)
    max_cmd_sn: int = uint(32, 4)


class LoginRequest(Layout, size=HEADER_BYTES):
    """Login Request (11.12)."""

    immediate: bool = flag(0, 6)
    opcode = bits(0, 5, 0, const=Opcode.LOGIN)
    transit: bool = flag(1, 7)
    continues: bool = flag(1, 6)
    csg: int = bits(1, 3, 2)
    nsg: int = bits(1, 1, 0)
    version_max: int = uint(2)
    version_min: int = uint(3)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    isid: bytes = raw(8, 6)
    tsih: int = uint(14, 2)
    initiator_task_tag: int = uint(16, 4)
    cid: int = uint(20, 2)
    cmd_sn: int = uint(24, 4)
    exp_stat_sn: int = uint(28, 4)


class LoginResponse(Layout, size=HEADER_BYTES):
    """Login Response (11.13)."""

    opcode = bits(0, 5, 0, const=Opcode.LOGIN_RESPONSE)
    transit: bool = flag(1, 7)
    continues: bool = flag(1, 6)
    csg: int = bits(1, 3, 2)
    nsg: int = bits(1, 1, 0)
    version_max: int = uint(2)
    version_active: int = uint(3)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    isid: bytes = raw(8, 6)
    tsih: int = uint(14, 2)
    initiator_task_tag: int = uint(16, 4)
    stat_sn: int = uint(24, 4)
    exp_cmd_sn: int = uint(28, 4)
    max_cmd_sn: int = uint(32, 4)
    status: int = uint(36, 2)


class LogoutRequest(Layout, size=HEADER_BYTES):
    """Logout Request (11.14)."""

    immediate: bool = flag(0, 6)
    opcode = bits(0, 5, 0, const=Opcode.LOGOUT)
    final: bool = flag(1, 7)
    reason: int = bits(1, 6, 0)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    initiator_task_tag: int = uint(16, 4)
    cid: int = uint(20, 2)
    cmd_sn: int = uint(24, 4)
    exp_stat_sn: int = uint(28, 4)


class LogoutResponse(Layout, size=HEADER_BYTES):
    """Logout Response (11.15)."""

    opcode = bits(0, 5, 0, const=Opcode.LOGOUT_RESPONSE)
    final: bool = flag(1, 7)
    response: int = uint(2)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    initiator_task_tag: int = uint(16, 4)
    stat_sn: int = uint(24, 4)
    exp_cmd_sn: int = uint(28, 4)
    max_cmd_sn: int = uint(32, 4)
    time2wait: int = uint(40, 2)
    time2retain: int = uint(42, 2)


class Snack(Layout, size=HEADER_BYTES):
    """SNACK Request (11.16)."""

    opcode = bits(0, 5, 0, const=Opcode.SNACK)
    final: bool = flag(1, 7)
    type: int = bits(1, 3, 0)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    lun: bytes = raw(8, 8)
    initiator_task_tag: int = uint(16, 4)
    target_transfer_tag: int = uint(20, 4)
    exp_stat_sn: int = uint(28, 4)
    beg_run: int = uint(40, 4)
    run_length: int = uint(44, 4)


class Reject(Layout, size=HEADER_BYTES):
    """Reject (11.17); the data segment is the header that was rejected."""

    opcode = bits(0, 5, 0, const=Opcode.REJECT)
    final: bool = flag(1, 7)
    reason: int = uint(2)
    total_ahs_length: int = uint(4)
    data_segment_length: int = uint(5, 3)
    initiator_task_tag: int = uint(16, 4)
    stat_sn: int = uint(24, 4)
    exp_cmd_sn: int = uint(28, 4)
    max_cmd_sn: int = uint(32, 4)
    data_sn: int = uint(36, 4)


LAYOUTS: dict[int, type[Layout]] = {
    Opcode.NOP_OUT: NopOut,
    Opcode.SCSI_COMMAND: ScsiCommand,
    Opcode.TASK_MANAGEMENT: TaskManagement,
    Opcode.LOGIN: LoginRequest,
    Opcode.TEXT: TextRequest,
    Opcode.DATA_OUT: DataOut,
    Opcode.LOGOUT: LogoutRequest,
    Opcode.SNACK: Snack,
    Opcode.NOP_IN: NopIn,
    Opcode.SCSI_RESPONSE: ScsiResponse,
    Opcode.TASK_MANAGEMENT_RESPONSE: TaskManagementResponse,
    Opcode.LOGIN_RESPONSE: LoginResponse,
    Opcode.TEXT_RESPONSE: TextResponse,
    Opcode.DATA_IN: DataIn,
    Opcode.LOGOUT_RESPONSE: LogoutResponse,
    Opcode.R2T: R2T,
    Opcode.ASYNC: AsyncMessage,
    Opcode.REJECT: Reject,
}


def decode_header(header: bytes) -> Layout:
    """Return the header of any PDU as the value of its layout.

    Raises:
        ProtocolError: If the RFC has no such opcode.
    """
    layout = LAYOUTS.get(header[0] & 0x3F)
    if layout is None:
        raise ProtocolError(f"opcode {header[0] & 0x3F:#04x} is not one of RFC 7143")
    return layout.decode(header)


def with_lengths(header: bytes, data_bytes: int, ahs_bytes: int = 0) -> bytes:
    """Return a header with the lengths of what follows it filled in."""
    lengths = (ahs_bytes // 4 << 24 | data_bytes).to_bytes(4, "big")
    return header[:4] + lengths + header[8:]


def additional_segments(ahs: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each additional header segment (11.2.2).

    Raises:
        ProtocolError: If a segment's length goes beyond the end.
    """
    at = 0
    while at + 4 <= len(ahs):
        length = int.from_bytes(ahs[at : at + 2], "big")
        if at + 3 + length > len(ahs) or not length:
            raise ProtocolError("an additional header segment is longer than it can be")
        yield ahs[at + 2], bytes(ahs[at + 4 : at + 3 + length])
        at += 3 + length + (-(3 + length) % 4)
