"""The data of one request: where it is meanwhile, and how it gets from the caller and back.

Three ways, as in the kernel: straight to the caller's memory, by way of the descriptor's reserved buffer,
or by way of a buffer of the request's own. SG_IO takes the first way wherever the caller's memory gives a
view, because the caller waits. An asynchronous request takes it for direct I/O only: its caller may do
with the memory as it likes until it reads the result.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from midlayer.mid.command import Buffer
from midlayer.upper.sg.header import (
    DXFER_TO_DEV,
    DXFER_TO_FROM_DEV,
    DXFER_UNKNOWN,
    FLAG_DIRECT_IO,
    FLAG_MMAP_IO,
    Abi,
)
from midlayer.upper.sg.memory import Memory
from midlayer.upper.sg.parameters import SCATTER_ELEMENT_BYTES

MAX_IOVECS = 1024
SECTOR_BYTES = 512
_ALIGNMENT_MASK = 3
_SSIZE_MAX = (1 << 63) - 1
_MAX_RW_BYTES = 0x7FFF_F000

Segment = tuple[int, int]
Claim = Callable[[int], memoryview | None]
"""Takes the reserved buffer for so many bytes; None if it is in use or too small."""


def os_error(number: int) -> OSError:
    """Return an OSError with the usual text."""
    return OSError(number, os.strerror(number))


@dataclass(slots=True)
class Plan:
    """What is to be moved, and how.

    Attributes:
        direction: ``dxfer_direction``.
        length: ``dxfer_len``.
        address: ``dxferp``; 0 leaves the data in the buffer, where mmap() shows it.
        iovec_count: Pieces of the caller's list at `address`, 0 for none.
        flags: SG_FLAG_ bits.
        abi: Form of the caller's pointers.
        in_place: The caller waits for the end, so its memory may be used as it is.
        allow_dio: The driver's parameter.
        max_bytes: Most that the host takes in one command.
        max_elements: Most pieces of a scatter-gather list.
    """

    direction: int
    length: int
    address: int
    iovec_count: int
    flags: int
    abi: Abi
    in_place: bool
    allow_dio: bool
    max_bytes: int
    max_elements: int

    @property
    def is_direct(self) -> bool:
        """Direct I/O was asked for and can be done (rule SG-31)."""
        return bool(
            self.flags & FLAG_DIRECT_IO
            and self.allow_dio
            and self.direction != DXFER_UNKNOWN
            and not self.iovec_count
            and not (self.address | self.length) & _ALIGNMENT_MASK
        )


@dataclass(slots=True)
class Transfer:
    """The data of a request.

    Attributes:
        kind: ``rb``, ``mmap``, ``dio`` or empty; see `RequestView`.
        data_out, data_in: What the command gets.
        segments: Pieces of the caller's memory that `deliver` fills.
        source: What it fills them from.
        buffer_bytes: Bytes of the buffer, as the proc file counts them.
        elements: Its pieces, likewise.
        uses_reserve: The reserved buffer is to be given back at the end.
    """

    kind: str = ""
    data_out: Buffer | None = None
    data_in: memoryview | None = None
    segments: Sequence[Segment] = ()
    source: memoryview | None = None
    buffer_bytes: int = 0
    elements: int = 0
    uses_reserve: bool = False

    def deliver(self, memory: Memory) -> None:
        """Copy what the device sent to the caller.

        Raises:
            OSError: EFAULT.
        """
        source, at = self.source, 0
        if source is None:
            return
        for address, length in self.segments:
            memory.write(address, source[at : at + length])
            at += length


def prepare(plan: Plan, memory: Memory, claim: Claim, transfer: Transfer) -> None:
    """Find a way for the data. On an error, `transfer` says whether the reserved buffer was taken.

    Raises:
        OSError: EFAULT for the caller's memory, EINVAL for what can not be moved, EBUSY and ENOMEM.
    """
    if plan.flags and plan.is_direct and _use_directly(plan, memory, transfer):
        return
    length = plan.length
    buffer = claim(length)
    if buffer is not None:
        transfer.uses_reserve = True
        transfer.kind = "mmap" if plan.flags & FLAG_MMAP_IO else "rb"
        transfer.buffer_bytes = length
    elif plan.flags & FLAG_MMAP_IO:
        raise os_error(errno.EBUSY)
    else:
        transfer.buffer_bytes = -(-length // SECTOR_BYTES) * SECTOR_BYTES
    transfer.elements = -(-transfer.buffer_bytes // SCATTER_ELEMENT_BYTES)
    if transfer.elements > plan.max_elements:
        raise os_error(errno.ENOMEM)
    segments = _segments(plan, memory)
    moved = sum([size for _, size in segments]) if plan.iovec_count else length
    if moved > plan.max_bytes:
        raise os_error(errno.EINVAL)
    if plan.direction == DXFER_TO_DEV:
        transfer.data_out = _gather(plan, segments, memory, buffer)
    else:
        transfer.segments = segments
        _receive(plan, transfer, memory, buffer, moved)


def _use_directly(plan: Plan, memory: Memory, transfer: Transfer) -> bool:
    """Use the caller's memory itself; False where it gives no view, which the caller hears in `info`."""
    to_device = plan.direction == DXFER_TO_DEV
    if plan.length > plan.max_bytes:
        raise os_error(errno.EINVAL)
    view = memory.view(plan.address, plan.length, writable=not to_device)
    if view is None:
        return False
    transfer.kind = "dio"
    if to_device:
        transfer.data_out = view
    else:
        transfer.data_in = view
    return True


def _segments(plan: Plan, memory: Memory) -> Sequence[Segment]:
    """Return the pieces of the caller's memory, cut at the length (the shorter of the two counts)."""
    if not plan.iovec_count:
        if plan.address:
            check_range(plan.abi, plan.address, plan.length)
            return ((plan.address, plan.length),)
        return ()
    if plan.iovec_count > MAX_IOVECS:
        raise os_error(errno.EINVAL)
    raw = memory.read(plan.address, plan.iovec_count * plan.abi.iovec.size)
    segments: list[Segment] = []
    left = min(plan.length, _MAX_RW_BYTES)
    pieces = list(plan.abi.iovec.iter_unpack(raw))
    if any(size > _SSIZE_MAX for _, size in pieces):
        raise os_error(errno.EINVAL)
    for address, size in pieces:
        check_range(plan.abi, address, size)
        if cut := min(size, left):
            segments.append((address, cut))
            left -= cut
    if not segments:
        raise os_error(errno.EINVAL)
    return segments


def check_range(abi: Abi, address: int, length: int) -> None:
    """Refuse addresses that no program has.

    Raises:
        OSError: EFAULT.
    """
    if address + length > abi.address_end:
        raise os_error(errno.EFAULT)


def _gather(plan: Plan, segments: Sequence[Segment], memory: Memory, buffer: memoryview | None) -> Buffer:
    """Return the bytes for the device."""
    if not segments:
        return buffer[: plan.length] if buffer is not None else bytes(plan.length)
    if len(segments) > 1:
        return b"".join(memory.read(*segment) for segment in segments)
    address, size = segments[0]
    if plan.in_place:
        view = memory.view(address, size, writable=False)
        if view is not None:
            return view
    return memory.read(address, size)


def _receive(plan: Plan, transfer: Transfer, memory: Memory, buffer: memoryview | None, length: int) -> None:
    """Make room for the bytes of the device: in place, in the reserved buffer, or in one of our own."""
    segments = transfer.segments
    if plan.in_place and len(segments) == 1:
        view = memory.view(*segments[0], writable=True)
        if view is not None:
            transfer.data_in = view
            return
    room = buffer[:length] if buffer is not None else memoryview(bytearray(length))
    if plan.direction == DXFER_TO_FROM_DEV:
        # What the device does not overwrite is what the caller had there: the residual can be seen.
        at = 0
        for address, size in segments:
            room[at : at + size] = memory.read(address, size)
            at += size
    transfer.data_in = transfer.source = room
