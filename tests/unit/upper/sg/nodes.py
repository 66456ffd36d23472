"""One node, two implementations: ours in this process, and the kernel's ``/dev/sgN``.

Both are called with raw bytes and with addresses of this process, as a C program calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.clock import SystemClock
from midlayer.mid.command import Command
from midlayer.mid.host import Host
from midlayer.mid.logical_unit import DeviceState
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.sg.descriptor import SgFile
from midlayer.upper.sg.device import SgNodes
from midlayer.upper.sg.parameters import ROOT, Caller

libc = ctypes.CDLL(None, use_errno=True)
libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
libc.read.argtypes = libc.write.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
libc.read.restype = libc.write.restype = ctypes.c_ssize_t
libc.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
)  # fmt: skip
libc.mmap.restype = ctypes.c_void_p
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)

READ_10 = 0x28
SIZE_BYTES = 8 << 20
SOON_S = 0.1


class Handle(Protocol):
    """An open descriptor. Everything raises OSError."""

    def write(self, address: int, count: int) -> int: ...
    def read(self, address: int, count: int) -> int: ...
    def ioctl(self, request: int, argument: int) -> int: ...
    def poll(self) -> int: ...
    def mmap(self, length: int, offset: int) -> Callable[[int], bytes]: ...
    def set_nonblock(self, on: bool) -> None: ...
    def interrupt(self, thread: threading.Thread) -> None: ...
    def close(self) -> None: ...


class Node(Protocol):
    """A device and its node."""

    def open(self, flags: int) -> Handle: ...
    def open_bsg(self, flags: int) -> Handle: ...
    def slow(self, seconds: float) -> Any:
        """While inside, READ(10) takes that long; where time can be held, as long as until `go_on`."""

    def go_on(self) -> None:
        """Let the time of one slow READ(10) pass."""

    def one_at_a_time(self) -> Any:
        """While inside, the device gets one command at a time."""

    def unprivileged(self) -> Any:
        """While inside, this thread has no capability."""

    def offline(self) -> Any:
        """While inside, the device is offline."""

    def allow_dio(self) -> Any:
        """While inside, direct I/O is allowed."""

    def remove(self) -> None:
        """Unplug the device."""


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class OwnMemory:
    """`Memory` of this very process; a wild address is EFAULT and no crash."""

    def __init__(self, *, views: bool) -> None:
        self.views = views

    def read(self, address: int, length: int) -> bytes:
        if length == 0:
            return b""
        if length > 1 << 26:
            raise OSError(errno.EFAULT, "too much for a test")
        room = ctypes.create_string_buffer(length)
        self._move("process_vm_readv", ctypes.addressof(room), address, length)
        return room.raw

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        if not len(data):
            return
        source = (ctypes.c_char * len(data)).from_buffer_copy(data)
        self._move("process_vm_writev", ctypes.addressof(source), address, len(data))

    def view(self, address: int, length: int, *, writable: bool) -> memoryview | None:
        if not self.views:
            return None
        self.read(address, length)  # or EFAULT
        return memoryview((ctypes.c_char * length).from_address(address)).cast("B")

    @staticmethod
    def _move(function: str, ours: int, theirs: int, length: int) -> None:
        local, remote = _Iovec(ours, length), _Iovec(theirs & (1 << 64) - 1, length)
        moved = getattr(libc, function)(
            os.getpid(), ctypes.byref(local), 1, ctypes.byref(remote), 1, ctypes.c_ulong(0)
        )
        if moved != length:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))


class SlowDriver(VirtualDriver):
    """A virtual host whose READ(10) takes as long as a test says, and which can be reset.

    It is the test that says when: a time in seconds could be over before the test has looked.
    """

    def __init__(self, subsystem: Subsystem) -> None:
        super().__init__(subsystem)
        self.clock = subsystem.clock
        self._slow = False
        self._held: deque[Callable[[], None]] = deque()
        self._may_go = 0
        self._held_lock = threading.Lock()

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        if command.cdb[0] != READ_10 or not self._slow:
            return super().queuecommand(command, done)
        carry_out = super().queuecommand
        self._held.append(lambda: carry_out(command, done) and None)
        self._let_go()
        return 0

    def slow(self, on: bool) -> None:
        """Hold READ(10) from now on, or let all go."""
        with self._held_lock:
            self._slow, self._may_go = on, 0 if on else len(self._held)
        self._let_go()

    def go_on(self) -> None:
        """Let one go soon: the one that has waited longest, or the next that comes."""
        with self._held_lock:
            self._may_go += 1
        self._let_go()

    def _let_go(self) -> None:
        with self._held_lock:
            while self._held and self._may_go:
                self._may_go -= 1
                self.clock.call_later(SOON_S, self._held.popleft())

    def eh_device_reset_handler(self, command: Command) -> int:
        return 0x2002

    eh_target_reset_handler = eh_bus_reset_handler = eh_host_reset_handler = eh_device_reset_handler


class OurNode:
    """A virtual disk of a subsystem in this process."""

    def __init__(self, *, views: bool = False) -> None:
        self.clock = SystemClock()
        self.subsystem = Subsystem(clock=self.clock)
        self.sg = SgNodes()
        self.subsystem.register_upper(self.sg)
        self.driver = SlowDriver(self.subsystem)
        self.host: Host = self.driver.add_host(HostSpec(units=(UnitSpec(size=SIZE_BYTES),)))
        self.node = self.sg.device(0)
        self.memory = OwnMemory(views=views)
        self.caller: Caller = ROOT

    def stop(self) -> None:
        self.driver.remove_host(self.host)
        self.clock.close()

    def open(self, flags: int) -> Handle:
        return OurHandle(self, self.node.open(flags, caller=self.caller))

    def open_bsg(self, flags: int) -> Handle:
        return OurHandle(self, self.node.open(flags, caller=self.caller, bsg=True))

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        self.driver.slow(True)
        try:
            yield
        finally:
            self.driver.slow(False)

    def go_on(self) -> None:
        self.driver.go_on()

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        before = self.node.device.queue_depth
        self.subsystem.adjust_queue_depth(self.node.device, 1)
        try:
            yield
        finally:
            self.subsystem.adjust_queue_depth(self.node.device, before)

    @contextmanager
    def unprivileged(self) -> Iterator[None]:
        self.caller = Caller()
        try:
            yield
        finally:
            self.caller = ROOT

    @contextmanager
    def offline(self) -> Iterator[None]:
        self.subsystem.set_device_state(self.node.device, DeviceState.OFFLINE)
        try:
            yield
        finally:
            self.subsystem.set_device_state(self.node.device, DeviceState.RUNNING)

    @contextmanager
    def allow_dio(self) -> Iterator[None]:
        self.sg.parameters.allow_dio = True
        try:
            yield
        finally:
            self.sg.parameters.allow_dio = False

    def remove(self) -> None:
        self.driver.unplug(self.node.device)


class OurHandle:
    """An `SgFile`, called as the C library calls the kernel."""

    def __init__(self, node: OurNode, file: SgFile) -> None:
        self.node, self.file = node, file

    def write(self, address: int, count: int) -> int:
        data = self.node.memory.read(address, count)
        return self.file.write(data, self.node.memory, caller=self.node.caller)

    def read(self, address: int, count: int) -> int:
        header = self.node.memory.read(address, min(count, 88))
        data = self.file.read(count, header, self.node.memory, caller=self.node.caller)
        self.node.memory.write(address, data)
        return data.returned

    def ioctl(self, request: int, argument: int) -> int:
        return self.file.ioctl(request, argument, self.node.memory, caller=self.node.caller)

    def poll(self) -> int:
        return self.file.poll()

    def mmap(self, length: int, offset: int) -> Callable[[int], bytes]:
        view = self.file.mmap(length, offset)
        return lambda count: bytes(view[:count])

    def set_nonblock(self, on: bool) -> None:
        self.file.nonblock = on

    def interrupt(self, thread: threading.Thread) -> None:
        while thread.is_alive() and not self.file.interrupt(thread.ident):
            thread.join(0.005)

    def close(self) -> None:
        self.file.close()


def checked(result: int) -> int:
    """Return what a function of the C library returned, or raise its errno."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class KernelHandle:
    """A descriptor of the kernel's."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.maps: list[tuple[int, int]] = []

    def write(self, address: int, count: int) -> int:
        return checked(libc.write(self.fd, address, count))

    def read(self, address: int, count: int) -> int:
        return checked(libc.read(self.fd, address, count))

    def ioctl(self, request: int, argument: int) -> int:
        return checked(libc.ioctl(self.fd, request, argument))

    def poll(self) -> int:
        poll = select.poll()
        poll.register(
            self.fd,
            select.POLLIN | select.POLLOUT | select.POLLRDNORM | select.POLLWRNORM,
        )
        return sum(events for _, events in poll.poll(0))

    def mmap(self, length: int, offset: int) -> Callable[[int], bytes]:
        address = libc.mmap(None, length, 3, 1, self.fd, offset)
        if address == ctypes.c_void_p(-1).value:
            checked(-1)
        self.maps.append((address, length))
        return lambda count: ctypes.string_at(address, count)

    def set_nonblock(self, on: bool) -> None:
        os.set_blocking(self.fd, not on)

    def interrupt(self, thread: threading.Thread) -> None:
        import signal

        while thread.is_alive():
            signal.pthread_kill(thread.ident or 0, signal.SIGUSR1)
            thread.join(0.05)

    def close(self) -> None:
        for address, length in self.maps:
            libc.munmap(address, length)
        os.close(self.fd)
