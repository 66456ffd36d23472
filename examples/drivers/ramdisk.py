"""A whole lower-level driver: a RAM disk. Run it: ``python examples/drivers/ramdisk.py``."""

from __future__ import annotations

import struct
from collections.abc import Callable

from midlayer import Command, Host, HostTemplate, SenseKey, Status, Subsystem, execute
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sense import fixed_sense
from midlayer.standards.spc import encode_lun_list

BLOCKS, BLOCK_SIZE = 2048, 512
ANSWERS = {
    Opcode.TEST_UNIT_READY: b"",
    Opcode.INQUIRY: b"\x00\x00\x05\x02\x1f\x00\x00\x00EXAMPLE RAM disk        1   ",
    Opcode.REPORT_LUNS: encode_lun_list([0]),
    Opcode.READ_CAPACITY_10: struct.pack(">II", BLOCKS - 1, BLOCK_SIZE),
}


class RamDisk(HostTemplate):
    """One disk at 0:0:0 of its host."""

    name, proc_name = "example RAM disk", "ramdisk"
    can_queue, max_id = 32, 1

    def __init__(self) -> None:
        self.blocks = memoryview(bytearray(BLOCKS * BLOCK_SIZE))

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        """Answer a command at once, in the thread of whoever sent it."""
        opcode, evpd = command.cdb[0], command.cdb[1] & 1
        if opcode in (Opcode.READ_10, Opcode.WRITE_10):
            self._move(command)
        elif opcode not in ANSWERS or (opcode == Opcode.INQUIRY and evpd):
            refuse(command, 0x24 if opcode == Opcode.INQUIRY else 0x20)
        else:
            send(command, ANSWERS[Opcode(opcode)])
        done(command)  # exactly once
        return 0

    def _move(self, command: Command) -> None:
        first, count = struct.unpack_from(">IxH", command.cdb, 2)
        blocks = self.blocks[first * BLOCK_SIZE : (first + count) * BLOCK_SIZE]
        writes = command.cdb[0] == Opcode.WRITE_10
        if first + count > BLOCKS or (writes and command.requested_bytes != len(blocks)):
            refuse(command, 0x21 if first + count > BLOCKS else 0x1A)
        elif not writes:
            send(command, blocks)
        else:
            blocks[:] = command.data_out or b""


def send(command: Command, data: bytes | memoryview) -> None:
    """Put data into the initiator's buffer, and say how much of the buffer is left."""
    count = min(len(data), len(command.data_in or b""))
    if command.data_in is not None:
        command.data_in[:count] = data[:count]
    command.residual = command.requested_bytes - count


def refuse(command: Command, asc: int) -> None:
    """End with CHECK CONDITION, ILLEGAL REQUEST; nothing was moved."""
    command.status, command.residual = Status.CHECK_CONDITION, command.requested_bytes
    command.sense_data = fixed_sense(SenseKey.ILLEGAL_REQUEST, asc)


def bring_up(subsystem: Subsystem) -> Host:
    """Make a host, add it and scan it."""
    host = subsystem.host_alloc(RamDisk())
    subsystem.add_host(host)
    subsystem.scan_host(host)
    return host


if __name__ == "__main__":
    (disk,) = bring_up(Subsystem()).devices()
    print(disk, execute(disk, bytes.fromhex("28000000000000000100"), data_in=BLOCK_SIZE), sep="\n")
