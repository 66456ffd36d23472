"""A whole lower-level driver: a RAM disk. Run it: ``python examples/ramdisk_driver.py``."""

from __future__ import annotations

from collections.abc import Callable

from midlayer import Command, HostTemplate, SenseKey, Status, Subsystem, execute
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sbc import Read10, ReadCapacity10Data, Write10
from midlayer.standards.sense import fixed_sense
from midlayer.standards.spc import Inquiry, StandardInquiry, encode_lun_list

BLOCKS, BLOCK_SIZE = 2048, 512
CAPACITY = ReadCapacity10Data(
    returned_logical_block_address=BLOCKS - 1, block_length_in_bytes=BLOCK_SIZE
).encode()
IDENTITY = StandardInquiry(
    version=5,
    response_data_format=2,
    additional_length=31,
    t10_vendor_identification="EXAMPLE",
    product_identification="RAM disk",
    product_revision_level="1",
).encode_sized()


class RamDisk(HostTemplate):
    """One disk at 0:0:0 of its host."""

    name = "example RAM disk"
    proc_name = "ramdisk"
    can_queue = 32
    max_id = 1

    def __init__(self) -> None:
        self._blocks = memoryview(bytearray(BLOCKS * BLOCK_SIZE))

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        """Answer a command at once, in the thread of whoever sent it."""
        opcode, evpd = command.cdb[0], command.cdb[1] & 1
        if opcode in (Opcode.READ_10, Opcode.WRITE_10):
            self._move(command)
        elif opcode == Opcode.INQUIRY and not evpd:
            send(command, IDENTITY)
        elif opcode == Opcode.REPORT_LUNS:
            send(command, encode_lun_list([0]))
        elif opcode == Opcode.READ_CAPACITY_10:
            send(command, CAPACITY)
        elif opcode == Opcode.TEST_UNIT_READY:
            send(command, b"")
        else:
            refuse(command, 0x24 if opcode == Opcode.INQUIRY else 0x20)
        done(command)  # exactly once
        return 0

    def _move(self, command: Command) -> None:
        cdb = Read10.decode(command.cdb) if command.cdb[0] == Opcode.READ_10 else Write10.decode(command.cdb)
        first, end = cdb.logical_block_address, cdb.logical_block_address + cdb.transfer_length
        blocks = self._blocks[first * BLOCK_SIZE : end * BLOCK_SIZE]
        if end > BLOCKS:
            refuse(command, 0x21)
        elif isinstance(cdb, Read10):
            send(command, blocks)
        elif command.requested_bytes != len(blocks):
            refuse(command, 0x1A)
        elif command.data_out:
            blocks[:] = command.data_out


def send(command: Command, data: bytes | memoryview) -> None:
    """Put data into the initiator's buffer, and say how much of the buffer is left."""
    count = min(len(data), len(command.data_in or b""))
    if command.data_in is not None:
        command.data_in[:count] = data[:count]
    command.residual = command.requested_bytes - count


def refuse(command: Command, asc: int) -> None:
    """End with CHECK CONDITION, ILLEGAL REQUEST; nothing was moved."""
    command.status = Status.CHECK_CONDITION
    command.sense_data = fixed_sense(SenseKey.ILLEGAL_REQUEST, asc)
    command.residual = command.requested_bytes


def main() -> None:
    """Bring the host up, scan it, ask its disk a few things, and take it down again."""
    subsystem = Subsystem()
    host = subsystem.host_alloc(RamDisk())
    subsystem.add_host(host)
    subsystem.scan_host(host)
    print("scan:", *host.devices())
    disk = host.devices()[0]
    result = execute(disk, Inquiry(allocation_length=36).encode(), data_in=36)
    print(f"{result}: {bytes(result.data[8:36]).decode().split()}")
    print(execute(disk, Write10(transfer_length=1).encode(), data_out=b"\x55" * BLOCK_SIZE))
    print(execute(disk, Read10(transfer_length=1).encode(), data_in=BLOCK_SIZE))
    print(execute(disk, Read10(logical_block_address=BLOCKS, transfer_length=1).encode(), data_in=BLOCK_SIZE))
    subsystem.remove_host(host)
    host.put()


if __name__ == "__main__":
    main()
