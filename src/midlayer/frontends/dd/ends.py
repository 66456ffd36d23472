"""The two ends of a copy: what they can do, whatever they are, and which kind a name stands for."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from midlayer.device_url import AddressForm, NodeForm, parse_device_url
from midlayer.errors import DeviceUrlError

if TYPE_CHECKING:
    from midlayer.mid.command import Result

SG_MAJOR = 21


class Chunk:
    """Some blocks on their way from the source to the target.

    Attributes:
        index: From 0, in the order of the source.
        at: Blocks of the copy before it.
        blocks: How many it has.
        room: Memory for as many.
        length: Bytes that are meant; less than all only at the end of a file.
        original: The chunk that this one is read again to be compared with.
        step: What is being done with it; a key of the copier's table.
        tries: Times that its present command was sent.
    """

    __slots__ = ("at", "blocks", "index", "length", "original", "room", "step", "tries")

    def __init__(self, room: memoryview) -> None:
        self.room = room
        self.index = self.at = self.blocks = self.length = self.tries = 0
        self.step = ""
        self.original: Chunk | None = None

    @property
    def data(self) -> memoryview:
        """The bytes that are meant."""
        return self.room[: self.length]


Ended = tuple[Chunk, "Result | None"]
"""A chunk whose step has ended, and how, if a device did it."""


class End(Protocol):
    """One end of the copy. Positions are blocks from the beginning of the copy.

    `read`, `write` and `verify` return what ended at once; what ends later, `ended` returns, after a call
    of the function that the end was made with. If one of the two ends `waits`, everything ends at once at
    both, and any thread may ask for it.

    Attributes:
        name: As the user wrote it.
        block_size: Bytes of a block, 0 for any.
        capacity: Blocks that there are after the ones to leave out; None if nobody knows.
        most_bytes: What can be moved at once.
        waits: True if it is a device whose commands end in the thread that sends them, so that many at
            once need as many threads.
        reads_in_order: True if chunks must be read one after the other, as from a pipe.
    """

    name: str
    block_size: int
    most_bytes: int
    capacity: int | None
    waits: bool
    reads_in_order: bool

    def prepare(self, block_size: int) -> None:
        """Take over the size of a block."""

    def plan(self, count: int, most_blocks: int, *, at_once: bool) -> None:
        """Learn how long the copy is, how many blocks go at once at most, and whether an end waits."""

    def read(self, chunk: Chunk) -> list[Ended]:
        """Fill the chunk; a file that ends sets its `length`."""

    def write(self, chunk: Chunk) -> list[Ended]:
        """Write the chunk."""

    def skip(self, chunk: Chunk) -> list[Ended]:
        """Leave a chunk out that is all zeros."""

    def verify(self, chunk: Chunk) -> list[Ended]:
        """Compare the chunk with what is there.

        Raises:
            VerifyError: If a file differs. What a device says is a result.
        """

    def ended(self) -> list[Ended]:
        """Return what ended since the last call."""

    def salvage(self, chunk: Chunk) -> list[int]:
        """Read a chunk block by block, zeros for what can not be read; return such blocks of the end."""

    def flush(self) -> None:
        """Make what was written durable."""

    def finish(self, length_bytes: int) -> None:
        """The copy has this length: a file that ends with what was left out gets its size."""

    def close(self, *, abort: bool) -> None:
        """Let go; with `abort`, without waiting for what need not be waited for."""


def is_device(name: str) -> bool:
    """Say whether a name is a device's, and not a file's.

    Devices are addresses, ``virtual:…``, ``iscsi://…``, node names and paths of nodes of the SCSI
    subsystem, and ``/dev/disk/by-…`` that no link of the kernel's devices has. Everything else is a file:
    ``./sg3`` as well, if there is one.
    """
    if name == "-":
        return False
    if name.startswith("/dev/disk/by-") and not os.path.exists(name):
        return True
    if name.startswith(("virtual:", "iscsi:")):
        return True
    with suppress(DeviceUrlError):
        form = parse_device_url(name.removeprefix("/dev/"))
        return isinstance(form, AddressForm) or (isinstance(form, NodeForm) and not form.explicit)
    with suppress(OSError):
        status = os.stat(name)
        return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == SG_MAJOR
    return False
