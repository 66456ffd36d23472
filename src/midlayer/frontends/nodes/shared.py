"""Memory that the server and a program both have."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os

PAGE_BYTES = 4096


def make_memory(name: str, length: int, *, may_grow: bool) -> int:
    """Return a descriptor of new memory that nobody can shrink: touching what is gone would be a SIGBUS."""
    memory = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, length)
    seals = fcntl.F_SEAL_SHRINK | (0 if may_grow else fcntl.F_SEAL_GROW)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_SEAL)
    return memory


def text_descriptor(text: bytes) -> int:
    """Return a descriptor, for reading only, of a file that holds `text`."""
    memory = os.memfd_create("midlayer-text", os.MFD_CLOEXEC)
    try:
        os.write(memory, text)
        return os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(memory)


class SharedMemory:
    """A channel's memory; it grows when a request needs more.

    Attributes:
        descriptor: For the program.
        view: All of it.
        length: Its bytes.
    """

    def __init__(self, length: int) -> None:
        self.descriptor = make_memory("midlayer-channel", length, may_grow=True)
        self.view = self._mapped(length)
        self.length = length

    def grow(self, length: int) -> None:
        """Make it at least so long. Earlier views stay valid, and show the same bytes."""
        if length > self.length:
            length = 1 << (length - 1).bit_length()
            os.ftruncate(self.descriptor, length)
            self.view = self._mapped(length)
            self.length = length

    def close(self) -> None:
        """Give the memory back; views keep theirs until they are gone."""
        os.close(self.descriptor)
        self.view.release()
        with contextlib.suppress(BufferError):  # a command is still on its way
            self._mapping.close()

    def _mapped(self, length: int) -> memoryview:
        self._mapping = mmap.mmap(self.descriptor, length)
        return memoryview(self._mapping)


class ReserveMemory:
    """The reserved buffer of an open file, where mmap(2) on the node shows it.

    Attributes:
        descriptor: Of the buffer as it is now.
    """

    def __init__(self) -> None:
        self.descriptor = -1

    def allocate(self, length: int) -> memoryview:
        """Make the buffer anew; `SgDevice.open` takes this."""
        self.close()
        whole = -(-length // PAGE_BYTES) * PAGE_BYTES
        self.descriptor = make_memory("midlayer-reserve", whole, may_grow=False)
        return memoryview(mmap.mmap(self.descriptor, whole))[:length]

    def close(self) -> None:
        """Close the descriptor; the buffer lives as long as somebody has it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
