"""The memory of a thread that waits in the kernel for our answer.

It can not end, nor can its number be given to another, before the kernel has the answer: so its number
means this very thread, and whatever it asked for is done to its own memory alone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

_MOST_AT_ONCE = 256 << 20
_SMALL_BYTES = 512
_READ = 0
"""Number of read(2) on x86-64; what other machines number otherwise is not recognised."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Scratch(threading.local):
    """What every call needs, made once for each thread."""

    def __init__(self) -> None:
        self.local, self.remote = _Piece(), _Piece()
        self.at_local, self.at_remote = ctypes.addressof(self.local), ctypes.addressof(self.remote)
        self.room = bytearray(_SMALL_BYTES)
        self.at_room = ctypes.addressof((ctypes.c_char * _SMALL_BYTES).from_buffer(self.room))


_scratch = _Scratch()
_pointer = ctypes.c_void_p
_arguments = (ctypes.c_int, _pointer, ctypes.c_ulong, _pointer, ctypes.c_ulong, ctypes.c_ulong)
_read, _write = _libc.process_vm_readv, _libc.process_vm_writev
_read.argtypes = _write.argtypes = _arguments
_read.restype = _write.restype = ctypes.c_ssize_t


class ProcessMemory:
    """`Memory` of another process.

    Args:
        thread: Its number as we see it; 0 for one of which we can not know.
    """

    def __init__(self, thread: int) -> None:
        self._thread = thread

    def read(self, address: int, length: int) -> bytes:
        """Return a copy; raises OSError EFAULT, and EPERM if the system does not let us."""
        if not length:
            return b""
        if not self._thread or length > _MOST_AT_ONCE:
            raise _error(errno.EFAULT)
        if length <= _SMALL_BYTES:
            scratch = _scratch
            self._move(_read, scratch.at_room, address, length)
            return bytes(scratch.room[:length])
        room = ctypes.create_string_buffer(length)
        self._move(_read, ctypes.addressof(room), address, length)
        return room.raw

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Put data there; raises as `read`."""
        length = len(data)
        if not length:
            return
        if not self._thread:
            raise _error(errno.EFAULT)
        if length <= _SMALL_BYTES:
            scratch = _scratch
            scratch.room[:length] = data
            self._move(_write, scratch.at_room, address, length)
            return
        view = memoryview(data)
        source = ctypes.c_char * length
        room = source.from_buffer_copy(view) if view.readonly else source.from_buffer(view)
        self._move(_write, ctypes.addressof(room), address, length)

    def view(self, address: int, length: int, *, writable: bool) -> memoryview | None:
        """Return None: it is not ours."""
        return None

    def _move(self, function: Callable[..., int], ours: int, theirs: int, length: int) -> None:
        scratch = _scratch
        local, remote = scratch.local, scratch.remote
        local.base, local.length = ours, length
        remote.base, remote.length = theirs, length
        moved = function(self._thread, scratch.at_local, 1, scratch.at_remote, 1, 0)
        if moved != length:
            number = ctypes.get_errno() if moved < 0 else errno.EFAULT
            raise _error(errno.EPERM if number == errno.EPERM else errno.EFAULT)


def buffer_of_read(thread: int, count: int) -> int:
    """Return where the buffer is of a thread that waits in read(2) for `count` bytes, 0 if nobody can say.

    The protocol hands over what a read gives, but not what the buffer holds before it.
    """
    try:
        words = Path(f"/proc/{thread}/syscall").read_text().split()
        number, _, address, length = int(words[0]), *(int(word, 16) for word in words[1:4])
    except (OSError, ValueError):
        return 0
    return address if (number, length) == (_READ, count) else 0


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
