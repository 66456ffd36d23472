"""The second look at a command of a block device, when the disposition has it end: another try all the same?

In the kernel this is ``scsi_io_completion``, for what sd and sr send on behalf of the block layer. Here it is
for READ, WRITE and the like that are no pass-through commands. These tries are not counted, but the whole
life of a command, ``(allowed + 1) * timeout_s``, ends them.
"""

from __future__ import annotations

from enum import Enum, auto

from midlayer.mid.command import Command, HostByte
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sam import Status
from midlayer.standards.sense import Sense, SenseKey

TRANSITION_RETRY_S = 1.0
"""How long a change of asymmetric access state is waited for."""


class FollowUp(Enum):
    """What follows for a command that would end now."""

    END = auto()
    AGAIN = auto()
    """Another try at once, for it is another command now."""
    LATER = auto()
    """Another try after a while, as for a busy device. The kernel does not always wait, but goes round."""
    AFTER_TRANSITION = auto()
    """Another try after `TRANSITION_RETRY_S`."""


_BLOCK_COMMANDS = frozenset(
    {
        Opcode.READ_6, Opcode.READ_10, Opcode.READ_12, Opcode.READ_16,
        Opcode.WRITE_6, Opcode.WRITE_10, Opcode.WRITE_12, Opcode.WRITE_16,
        Opcode.WRITE_SAME_10, Opcode.WRITE_SAME_16, Opcode.UNMAP,
        Opcode.SYNCHRONIZE_CACHE_10, Opcode.SYNCHRONIZE_CACHE_16, Opcode.VARIABLE_LENGTH_CDB,
    }
)  # fmt: skip

_NOT_READY_FOR_NOW = {
    **dict.fromkeys(
        (0x01, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x11, 0x14, 0x1A, 0x1B, 0x1D),
        FollowUp.LATER,
    ),
    0x0A: FollowUp.AFTER_TRANSITION,
}
"""By ASCQ, where the ASC is 04h: what a device is busy with that ends by itself."""

_SHORTER = {Opcode.READ_10: Opcode.READ_6, Opcode.WRITE_10: Opcode.WRITE_6}


def follow_up(command: Command) -> FollowUp:
    """Return what follows for a command whose disposition is that it ends."""
    if command.passthrough or command.cdb[0] not in _BLOCK_COMMANDS or not command.device.online:
        return FollowUp.END
    if command.host_byte:
        return FollowUp.LATER if command.host_byte == HostByte.DID_RESET else FollowUp.END
    sense = Sense.decode(command.sense_data) if command.status == Status.CHECK_CONDITION else None
    if sense is None or sense.deferred:
        return FollowUp.END
    return _by_sense(command, sense)


def _by_sense(command: Command, sense: Sense) -> FollowUp:
    device = command.device
    if sense.key == SenseKey.UNIT_ATTENTION:
        if device.removable:  # another medium may be in it: its reader has to know first
            device.medium_changed = True
            return FollowUp.END
        return FollowUp.LATER
    if sense.key == SenseKey.NOT_READY and sense.asc == 0x04:
        return _NOT_READY_FOR_NOW.get(sense.ascq, FollowUp.END)
    unknown = sense.key == SenseKey.ILLEGAL_REQUEST and (sense.asc, sense.ascq) == (0x20, 0x00)
    if unknown and device.use_10_for_rw and command.cdb[0] in _SHORTER:
        device.use_10_for_rw = False
        command.cdb = _with_six_bytes(command.cdb)
        return FollowUp.AGAIN
    return FollowUp.END


def _with_six_bytes(cdb: bytes) -> bytes:
    """Return READ(6) or WRITE(6) for READ(10) or WRITE(10); the same CDB if it says more than they can."""
    lba, blocks = int.from_bytes(cdb[2:6], "big"), int.from_bytes(cdb[7:9], "big")
    if lba > 0x1FFFFF or not 0 < blocks <= 0xFF:
        return cdb
    return bytes((_SHORTER[Opcode(cdb[0])], *lba.to_bytes(3, "big"), blocks, cdb[9]))
