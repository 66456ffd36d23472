"""SG_IO: one command through a node of the kernel's sg driver, and the descriptors to do so.

A `Slot` is a descriptor with everything that a command needs, prepared once: the header, room for a CDB
and for sense data. Data goes straight between the device and the caller's buffer. LP64 only, as the
header's layout is.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from ctypes import addressof, c_char, c_char_p, c_void_p
from functools import partial
from math import nan
from typing import Any

from midlayer.mid.clock import Clock, Timer
from midlayer.mid.command import Buffer, Command, HostByte

SG_IO = 0x2285
SG_SET_RESERVED_SIZE = 0x2275
SG_FLAG_DIRECT_IO = 0x1
MAX_CDB_BYTES = 252
MAX_SLOTS = 64
"""Commands that the kernel gets at once for one device; more callers wait for one to end."""

IDLE_CLOSE_S = 1.0
"""After one to two times this long without a command the descriptors of a device are closed."""

HEADER_BYTES = 88
CDB_BYTES = 260
SENSE_BYTES = 252
DXFER_NONE, DXFER_TO_DEV, DXFER_FROM_DEV = -1, -2, -3
_DRIVER_STATUS_MASK = 0x0F
_DRIVER_TIMEOUT, _DRIVER_SENSE = 0x06, 0x08
MAX_TIMEOUT_MS = 0xFFFFFFFF
_RESERVED_BYTES = 32 << 10  # of a descriptor from the beginning

# interface_id dxfer_direction cmd_len mx_sb_len iovec_count dxfer_len dxferp cmdp sbp timeout flags
pack_request = struct.Struct("=iiBBHIQQQII").pack_into
_CDB_LENGTH_AT = 8
# status, then (masked_status and msg_status left out) sb_len_wr host_status driver_status resid
ANSWER_AT, _RESIDUAL_AT, _ANSWER_END = 64, 72, 76
unpack_answer = struct.Struct("=BxxBHHi").unpack_from

Ioctl = Callable[[int, int, Any, bool], int]


class Slot:
    """A descriptor of an sg node, and the header for one command at a time.

    Args:
        fd: Open for reading and writing. The slot owns it.
        ioctl: `fcntl.ioctl`. It releases the interpreter lock, because the header is short.
        flags: Of the header, for every command.
    """

    __slots__ = (
        "_address", "_cdb", "_cdb_at", "_count", "_flags", "_header", "_ioctl", "_outcome", "_reserved",
        "_residual", "_send", "_sense", "_sense_at", "_sent_cdb", "_timeout_s", "fd",
    )  # fmt: skip

    def __init__(self, fd: int, ioctl: Ioctl, flags: int = 0) -> None:
        self.fd = fd
        self._flags = flags
        self._ioctl, self._reserved = ioctl, _RESERVED_BYTES
        self._header = header = bytearray(HEADER_BYTES)
        self._send = partial(ioctl, fd, SG_IO, header, True)
        # A look through a view costs a third of a call that compares bytes.
        view = memoryview(header)
        self._outcome = view[ANSWER_AT:_RESIDUAL_AT].cast("Q")
        self._residual = view[_RESIDUAL_AT:_ANSWER_END].cast("i")
        # What the header is prepared for; the kernel leaves that part of it as it is.
        self._sent_cdb: bytes | None = None
        self._count = self._address = 0
        self._timeout_s = nan  # which nothing is equal to
        # Never resized, hence never moved; a bytearray takes a CDB far quicker than a ctypes array does.
        self._cdb = bytearray(CDB_BYTES)
        self._sense = bytearray(SENSE_BYTES)
        self._cdb_at = addressof(c_char.from_buffer(self._cdb))
        self._sense_at = addressof(c_char.from_buffer(self._sense))

    def execute(self, command: Command) -> None:
        """Send a command, wait for its end, and write the answer into it.

        Raises:
            OSError: What the ioctl says instead of an answer.
        """
        cdb, data_in, timeout_s = command.cdb, command.data_in, command.timeout_s
        count = address = 0  # of bytes from the device; below zero of bytes to it
        if data_in is not None:
            if count := len(data_in):
                keep = c_char.from_buffer(data_in)  # keeps the buffer in its place until we return
                address = addressof(keep)
        elif command.data_out:
            count = -len(command.data_out)
            address, _keep = address_of(command.data_out)
        if count != self._count or address != self._address or timeout_s != self._timeout_s:
            self._prepare(count, address, timeout_s)
        if cdb is not self._sent_cdb:
            self._take_cdb(cdb)
        self._send()
        if self._outcome[0] or self._residual[0]:
            self._take_answer(command)

    def _prepare(self, count: int, address: int, timeout_s: float) -> None:
        self._timeout_s = nan  # Ctrl-C may come before the end
        if abs(count) > self._reserved:
            self._reserve(abs(count))
        timeout_ms = min(int(timeout_s * 1000) or 1, MAX_TIMEOUT_MS)
        direction = DXFER_FROM_DEV if count > 0 else DXFER_TO_DEV if count else DXFER_NONE
        pack_request(
            self._header, 0, 0x53, direction, self._header[_CDB_LENGTH_AT], SENSE_BYTES, 0, abs(count),
            address, self._cdb_at, self._sense_at, timeout_ms, self._flags,
        )  # fmt: skip
        self._count, self._address, self._timeout_s = count, address, timeout_s

    def _reserve(self, count: int) -> None:
        """Have sg keep a buffer of this size, instead of one more for each command."""
        self._reserved = count  # whatever it says: it is asked once
        with suppress(OSError):
            self._ioctl(self.fd, SG_SET_RESERVED_SIZE, count.to_bytes(4, sys.byteorder), False)

    def _take_cdb(self, cdb: bytes) -> None:
        self._sent_cdb = None  # Ctrl-C may come here too
        self._cdb[: len(cdb)] = cdb
        self._header[_CDB_LENGTH_AT] = len(cdb)
        if type(cdb) is bytes:  # the same object is the same CDB then
            self._sent_cdb = cdb

    def _take_answer(self, command: Command) -> None:
        answer = unpack_answer(self._header, ANSWER_AT)
        status, sense_length, host_byte, driver_byte, command.residual = answer
        if status or host_byte or sense_length or driver_byte:
            command.status = status
            command.host_byte = host_byte or from_driver_byte(driver_byte)
            command.sense_data = bytes(self._sense[:sense_length])

    def close(self) -> None:
        """Close the descriptor. A second call does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
            del self._send  # the number may soon be another file's

    def __del__(self) -> None:
        self.close()


def from_driver_byte(driver_byte: int) -> int:
    """Kernels before 5.14 say some things in the driver byte only."""
    kind = driver_byte & _DRIVER_STATUS_MASK
    if kind in (0, _DRIVER_SENSE):
        return HostByte.DID_OK
    return HostByte.DID_TIME_OUT if kind == _DRIVER_TIMEOUT else HostByte.DID_ERROR


class Pool:
    """The slots of one node: taken and given back last in, first out, so that few are ever opened.

    Args:
        open_fd: Opens the node once more; called without a lock held.
        ioctl: For the slots.
        limit: Most slots at once.
        clock: Closes idle slots, because an open descriptor keeps the module of the host's driver from
            being unloaded and others from opening the node exclusively. None keeps them open.
        flags: For the slots.
    """

    def __init__(
        self,
        open_fd: Callable[[], int],
        ioctl: Ioctl,
        *,
        limit: int = MAX_SLOTS,
        clock: Clock | None = None,
        flags: int = 0,
    ) -> None:
        self._open_fd = open_fd
        self._slot_ioctl = ioctl
        self._flags = flags
        self._limit = limit
        self._clock = clock
        self._timer: Timer | None = None
        self._used = False  # since the timer came last
        self._free: list[Slot] = []  # pop and append are atomic, so the fast path needs no lock
        self.pop = self._free.pop  # `take` without its call, for `queuecommand`
        self._condition = threading.Condition()
        self._opened = 0
        self._waiting = 0
        self._closed = False

    @property
    def opened(self) -> int:
        """Slots that there are now."""
        return self._opened

    def take(self) -> Slot:
        """Return a slot for the caller alone; open one, or wait for one, if none is free.

        Raises:
            OSError: ENODEV if the pool is closed, and whatever `open_fd` raises.
        """
        try:
            return self._free.pop()
        except IndexError:
            return self._open_or_wait()

    def give_back(self, slot: Slot) -> None:
        """Return a slot that `take` gave."""
        self._used = True
        self._free.append(slot)
        # Whoever waits, or closes, sets its mark first and looks at the list then.
        if self._waiting or self._closed:
            self._attend()

    def close(self) -> None:
        """Close what is free now, and everything else when it is given back. Nobody gets a slot any more."""
        self._closed = True
        self._attend()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _attend(self) -> None:
        with self._condition:
            if self._closed:
                self._close_free()
                self._condition.notify_all()
            else:
                self._condition.notify()

    def _close_free(self) -> None:
        with suppress(IndexError):  # others may take slots meanwhile
            while True:
                self._free.pop().close()
                self._opened -= 1

    def _open_or_wait(self) -> Slot:
        with self._condition:
            self._waiting += 1
            try:
                slot = self._wait_for_room()
            finally:
                self._waiting -= 1
        if slot is not None:
            return slot
        try:
            slot = Slot(self._open_fd(), self._slot_ioctl, self._flags)
        except BaseException:
            with self._condition:
                self._opened -= 1
                self._condition.notify()
            raise
        if self._clock is not None:
            with self._condition:
                if self._timer is None and not self._closed:
                    self._timer = self._clock.call_later(IDLE_CLOSE_S, self._close_if_idle)
        return slot

    def _close_if_idle(self) -> None:
        with self._condition:
            used, self._used = self._used, False
            if not used and not self._waiting:
                self._close_free()
            self._timer = None
            if self._clock is not None and self._opened and not self._closed:
                self._timer = self._clock.call_later(IDLE_CLOSE_S, self._close_if_idle)

    def _wait_for_room(self) -> Slot | None:
        """Return a free slot, or None with one more counted as open. The caller holds the condition."""
        while True:
            if self._closed:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            with suppress(IndexError):
                return self._free.pop()
            if self._opened < self._limit:
                self._opened += 1
                return None
            self._condition.wait()


class _PyBuffer(ctypes.Structure):
    """`Py_buffer`, of CPython's stable ABI."""

    _fields_ = (
        ("buf", c_void_p),
        ("obj", c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", c_void_p),
        ("shape", c_void_p),
        ("strides", c_void_p),
        ("suboffsets", c_void_p),
        ("internal", c_void_p),
    )


class _Pinned:
    """A read-only buffer that stays where it is as long as this object lives.

    ctypes has no way to the address of a read-only memoryview, and a copy is what we are here to avoid.
    """

    def __init__(self, buffer: Buffer) -> None:
        self._view = _PyBuffer()
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), ctypes.byref(self._view), 0)
        self.address: int = self._view.buf

    def __del__(self) -> None:
        if self._view.obj:
            ctypes.pythonapi.PyBuffer_Release(ctypes.byref(self._view))


def address_of(buffer: Buffer) -> tuple[int, object]:
    """Return where the bytes of a buffer are, and an object to keep for as long as that matters."""
    if type(buffer) is bytes:
        pointer = c_char_p(buffer)
        return c_void_p.from_buffer(pointer).value or 0, pointer
    if isinstance(buffer, memoryview) and buffer.readonly:
        pinned = _Pinned(buffer)
        return pinned.address, pinned
    first = c_char.from_buffer(buffer)
    return addressof(first), first
