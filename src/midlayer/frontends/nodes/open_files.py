"""What programs have open: nodes, and files that take writes. Each has a token, whose last close ends it."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from midlayer.frontends.nodes.shared import ReserveMemory
from midlayer.upper.scsimon.node import ScsimonFile
from midlayer.upper.sg.descriptor import POLL_HUP_BAND, SgFile
from midlayer.upper.sg.memory import Memory


class OpenFile(Protocol):
    """What a token stands for.

    Attributes:
        token: The server's end.
        access_mode: O_RDONLY, O_WRONLY or O_RDWR.
        hung_up: The token was shut down: its end of file does not mean the last close.
        asynchronous: There may be something to be read.
    """

    token: socket.socket
    access_mode: int
    hung_up: bool
    asynchronous: bool

    def ioctl(self, request: int, argument: int, memory: Memory) -> int:
        """Carry out an ioctl."""

    def read(self, count: int, header: bytes, memory: Memory) -> tuple[int, bytes]:
        """Return what read(2) returns, and the bytes."""

    def write(self, data: bytes, memory: Memory) -> int:
        """Return how many bytes were taken."""

    def take_unseen(self, data: bytes) -> None:
        """Obey what was written without the library's knowledge, as stdio does."""

    def mmap(self, length: int, offset: int) -> int:
        """Return a descriptor of the memory."""

    def fstat(self) -> int:
        """Return major << 32 | minor; 0 for a regular file."""

    def set_nonblock(self, on: bool) -> None:
        """Take over O_NONBLOCK."""

    def drained(self) -> bool:
        """Return True if the program has to take the byte from its token."""

    def interrupt(self, thread: int) -> bool:
        """End a call that blocks in a thread."""

    def close(self) -> None:
        """The last descriptor is closed."""


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


_ACCESS_MODES = {(True, False): os.O_RDONLY, (False, True): os.O_WRONLY, (True, True): os.O_RDWR}


class NodeFile:
    """An open sg, bsg or scsimon node."""

    def __init__(
        self, sg_file: SgFile | ScsimonFile, reserve: ReserveMemory, number: tuple[int, int]
    ) -> None:
        self.ioctl = sg_file.ioctl
        self.interrupt = sg_file.interrupt
        self._file = sg_file
        self._reserve = reserve
        self._number = number[0] << 32 | number[1]
        self._lock = threading.Lock()
        self.access_mode = (
            (os.O_RDWR if sg_file.may_read else os.O_WRONLY) if sg_file.may_write else os.O_RDONLY
        )
        self.hung_up = False
        self._lit = False
        self.asynchronous = False
        self.token, self.program_end = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
        )
        if isinstance(sg_file, SgFile):
            sg_file.fasync(self._signal, of_sg_io=False)  # whose end leaves nothing to be read
        else:
            sg_file.fasync(self._signal)

    def read(self, count: int, header: bytes, memory: Memory) -> tuple[int, bytes]:
        data = self._file.read(count, header, memory)
        return data.returned, data

    def write(self, data: bytes, memory: Memory) -> int:
        self.asynchronous = True
        taken = self._file.write(data, memory)
        self._light()
        return taken

    def take_unseen(self, data: bytes) -> None:
        """Nothing: a request without its memory can not be sent."""

    def mmap(self, length: int, offset: int) -> int:
        self._file.mmap(length, offset)
        return self._reserve.descriptor

    def fstat(self) -> int:
        return self._number

    def set_nonblock(self, on: bool) -> None:
        self._file.nonblock = on

    def drained(self) -> bool:
        with self._lock:
            if not self._lit or self.hung_up or self._file.poll() & select.POLLIN:
                return False
            self._lit = False
            return True

    def close(self) -> None:
        self._file.fasync(self._signal, on=False)
        self._file.close()
        with self._lock:
            self.token.close()
        self._reserve.close()

    def _signal(self, band: int) -> None:
        if band == POLL_HUP_BAND:
            self._hang_up()
        else:  # what was written, or an orphan that is kept
            self.asynchronous = True
            self._light()

    def _hang_up(self) -> None:
        """Shut the token both ways, which the program's poll(2) sees as POLLHUP.

        From then on an end of file says nothing. The byte that the program leaves unread does: its last
        close ends with ECONNRESET here.
        """
        with self._lock, contextlib.suppress(OSError):  # closed meanwhile
            self.token.send(b"\0", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            self.hung_up = True
            self.token.shutdown(socket.SHUT_RDWR)

    def _light(self) -> None:
        """Put a byte into the token while there is something to read, so that poll(2) sees it."""
        with self._lock:
            if self._lit or self.hung_up or not self._file.poll() & select.POLLIN:
                return
            self._lit = True
            with contextlib.suppress(OSError):  # nobody has the other end any more
                self.token.send(b"\0", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class TextFile:
    """A proc file or an attribute that was opened for writing."""

    hung_up = asynchronous = False

    def __init__(self, obey: Callable[[bytes], int], text: bytes, access_mode: int = os.O_WRONLY) -> None:
        self.access_mode = access_mode
        self._obey = obey
        self._text = text
        self._at = 0
        self.token, self.program_end = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
        )

    def ioctl(self, request: int, argument: int, memory: Memory) -> int:
        raise _error(errno.ENOTTY)

    def read(self, count: int, header: bytes, memory: Memory) -> tuple[int, bytes]:
        data = self._text[self._at : self._at + count]
        self._at += len(data)
        return len(data), data

    def write(self, data: bytes, memory: Memory) -> int:
        return self._obey(data)

    def take_unseen(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody waits for the answer
            self._obey(data)

    def mmap(self, length: int, offset: int) -> int:
        raise _error(errno.ENODEV)

    def fstat(self) -> int:
        return 0

    def set_nonblock(self, on: bool) -> None:
        pass

    def drained(self) -> bool:
        return False

    def interrupt(self, thread: int) -> bool:
        return False

    def close(self) -> None:
        self.token.close()


class OpenFiles:
    """All open files, by number and by the inode number of the program's end of the token.

    Attributes:
        by_number: To be read by anybody, without a lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.by_number: dict[int, OpenFile] = {}
        self._inodes: dict[int, int] = {}
        self._last = 0

    def add(self, file: NodeFile | TextFile) -> int:
        """Give a file a number."""
        inode = os.fstat(file.program_end.fileno()).st_ino
        with self._lock:
            self._last = self._last % 0x7FFF_FFFE + 1
            self.by_number[self._last] = file
            self._inodes[inode] = self._last
            return self._last

    def get(self, number: int) -> OpenFile:
        """Return a file.

        Raises:
            OSError: EBADF.
        """
        file = self.by_number.get(number)
        if file is None:
            raise _error(errno.EBADF)
        return file

    def who(self, inode: int) -> int:
        """Return the number of the file that a token of a program stands for, 0 if there is none."""
        return self._inodes.get(inode & 0xFFFF_FFFF, 0)

    def remove(self, number: int) -> None:
        """Close a file, at the last close of its token."""
        with self._lock:
            file = self.by_number.pop(number, None)
            for inode in [inode for inode, known in self._inodes.items() if known == number]:
                del self._inodes[inode]
        if file is not None:
            file.close()

    def numbers(self) -> list[int]:
        """Return the numbers of all files."""
        with self._lock:
            return list(self.by_number)
