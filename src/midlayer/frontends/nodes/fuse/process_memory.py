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
from struct import Struct
from typing import NamedTuple, Self

_MOST_AT_ONCE = 256 << 20
_SMALL_BYTES = 512
_LAST_ADDRESS = (1 << 64) - 1
_READ = 0
"""Number of read(2) on x86-64; what other machines number otherwise is not recognised."""

_IOVECS = Struct("PNPN")  # ours, theirs: base and length
_libc = ctypes.CDLL(None, use_errno=True)
_quick_libc = ctypes.CDLL(None)  # without errno, which would be swapped in and out at each call


class _Move(NamedTuple):
    """A function of the C library that moves bytes between processes, and the same with errno."""

    quick: Callable[..., int]
    with_errno: Callable[..., int]

    @classmethod
    def named(cls, name: str) -> Self:
        quick, with_errno = _quick_libc[name], _libc[name]
        quick.restype = with_errno.restype = ctypes.c_ssize_t
        return cls(quick, with_errno)


_READ_THERE, _WRITE_THERE = _Move.named("process_vm_readv"), _Move.named("process_vm_writev")
# Arguments that are made already cost less than numbers that ctypes has to convert.
_ONE, _NO_FLAGS = ctypes.c_ulong(1), ctypes.c_ulong(0)


class _Scratch:
    """What every call needs, made once for each thread."""

    __slots__ = ("at_room", "iovecs", "ours", "room", "theirs")

    def __init__(self) -> None:
        self.iovecs = bytearray(_IOVECS.size)
        base = _address(self.iovecs)
        self.ours, self.theirs = ctypes.c_void_p(base), ctypes.c_void_p(base + _IOVECS.size // 2)
        room = bytearray(_SMALL_BYTES)
        self.room, self.at_room = memoryview(room), _address(room)


def _address(room: bytearray) -> int:
    return ctypes.addressof((ctypes.c_char * len(room)).from_buffer(room))


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.scratch = _Scratch()


_own = _OfThread()
_put_iovecs = _IOVECS.pack_into


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
            scratch = _own.scratch
            self._move(_READ_THERE, scratch, scratch.at_room, address, length)
            return scratch.room[:length].tobytes()
        room = ctypes.create_string_buffer(length)
        self._move(_READ_THERE, _own.scratch, ctypes.addressof(room), address, length)
        return room.raw

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Put data there; raises as `read`."""
        length = len(data)
        if not length:
            return
        if not self._thread:
            raise _error(errno.EFAULT)
        if length <= _SMALL_BYTES:
            scratch = _own.scratch
            scratch.room[:length] = data
            self._move(_WRITE_THERE, scratch, scratch.at_room, address, length)
            return
        view = memoryview(data)
        source = ctypes.c_char * length
        room = source.from_buffer_copy(view) if view.readonly else source.from_buffer(view)
        self._move(_WRITE_THERE, _own.scratch, ctypes.addressof(room), address, length)

    def view(self, address: int, length: int, *, writable: bool) -> memoryview | None:
        """Return None: it is not ours."""
        return None

    def _move(self, move: _Move, scratch: _Scratch, ours: int, theirs: int, length: int) -> None:
        _put_iovecs(scratch.iovecs, 0, ours, length, theirs & _LAST_ADDRESS, length)
        quick, with_errno = move
        if quick(self._thread, scratch.ours, _ONE, scratch.theirs, _ONE, _NO_FLAGS) == length:
            return
        moved = with_errno(self._thread, scratch.ours, _ONE, scratch.theirs, _ONE, _NO_FLAGS)
        if moved != length:
            no_right = moved < 0 and ctypes.get_errno() == errno.EPERM
            raise _error(errno.EPERM if no_right else errno.EFAULT)


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
