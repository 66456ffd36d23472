"""Commands whose CDB and expected data transfer length do not say the same.

A device that is a host adapter's neighbour never sees the expected length; an iSCSI target has to go by
both: no more data moves than either of them says, and the residual is the difference (RFC 7143 11.4.5).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from midlayer.iscsi.task import Task
from midlayer.mid.dispatch import execute
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards.sbc import ReadCapacity10, ReadCapacity10Data
from midlayer.standards.sense import SenseKey, fixed_sense

_WITH_BLOCKS = frozenset({0x00, 0x05, 0x07, 0x0E})
_READ_CAPACITY_TIMEOUT_S = 10.0

Blocks = Callable[[bytes], int]


def _six(cdb: bytes) -> int:
    return cdb[4] or 256


def _number(form: str, cdb_bytes: int) -> Blocks:
    unpack = Struct(form).unpack_from

    def blocks(cdb: bytes) -> int:
        if len(cdb) < cdb_bytes:
            return 0
        count: int = unpack(cdb)[0]
        return count

    return blocks


_ten, _twelve, _sixteen = _number(">7xH", 10), _number(">6xI", 12), _number(">10xI", 16)

LENGTHS: dict[int, Blocks] = {
    0x08: _six,
    0x0A: _six,
    **dict.fromkeys((0x28, 0x2A, 0x2E), _ten),
    **dict.fromkeys((0xA8, 0xAA, 0xAE), _twelve),
    **dict.fromkeys((0x88, 0x8A, 0x8E), _sixteen),
}
"""READ, WRITE and WRITE AND VERIFY: how many blocks a CDB is about."""

WHOLE: dict[int, Blocks] = {
    0x41: lambda cdb: 1,
    0x89: lambda cdb: 2 * cdb[13] if len(cdb) == 16 else 0,
    0x93: lambda cdb: 1,
}
"""WRITE SAME and COMPARE AND WRITE: how many blocks of data they need; with more, what is meant?"""

INVALID_FIELD_IN_CDB = fixed_sense(SenseKey.ILLEGAL_REQUEST, 0x24)

_FIELDS = {10: (7, 2), 12: (6, 4), 16: (10, 4)}


def block_bytes(device: LogicalUnit) -> int:
    """Ask a device for its block size; 0 if it has no blocks, or does not say."""
    if device.type not in _WITH_BLOCKS:
        return 0
    data = bytearray(ReadCapacity10Data.size)
    cdb = ReadCapacity10().encode()
    result = execute(device, cdb, None, memoryview(data), _READ_CAPACITY_TIMEOUT_S, 0, True)
    return ReadCapacity10Data.decode(data).block_length_in_bytes if result.ok else 0


def fitted(task: Task, cdb: bytes, blocks: int, block_size: int) -> tuple[bytes, int]:
    """Make a READ or WRITE do that is about more than the initiator has data, or room, for.

    Args:
        task: Its `overflow_bytes` is set.
        cdb: The command.
        blocks: How many blocks it is about.
        block_size: Bytes of one.

    Returns:
        The CDB for the device, and how many bytes move between it and the target: of a read whole blocks
        that are cut for the initiator, of a write the blocks that are there whole. 0 if none are.
    """
    expected = task.expected_bytes
    task.overflow_bytes = blocks * block_size - expected
    whole = expected // block_size
    if task.read:
        whole = -(-expected // block_size)
    return (_about(cdb, whole) if whole else cdb), whole * block_size


def _about(cdb: bytes, blocks: int) -> bytes:
    """Return a READ or WRITE with another number of blocks."""
    if len(cdb) == 6:
        return cdb[:4] + bytes((blocks & 0xFF,)) + cdb[5:]
    start, length = _FIELDS[len(cdb)]
    return cdb[:start] + blocks.to_bytes(length, "big") + cdb[start + length :]
