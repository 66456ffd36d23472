"""The vocabulary of the table: structures at real addresses, and outcomes that can be compared."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .nodes import READ_10, Handle, Node

INT, UINT, CHAR, SHORT, POINTER = (
    ctypes.c_int, ctypes.c_uint, ctypes.c_ubyte, ctypes.c_ushort, ctypes.c_uint64,
)  # fmt: skip
WILD = 0x10  # nothing is ever mapped in the first page
KERNEL = 0xFFFF_8000_0000_0000
INQUIRY = bytes((0x12, 0, 0, 0, 96, 0))
READY = bytes(6)
READ_BLOCK = bytes((READ_10, 0, 0, 0, 0, 0, 0, 0, 1, 0))
WRITE_BLOCK = bytes((0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0))
UNSUPPORTED = bytes((0xD7, 0, 0, 0, 0, 0, 0, 0, 0, 0))
NONE, TO_DEV, FROM_DEV, TO_FROM = -1, -2, -3, -4
DIRECT, MMAP, AT_TAIL = 1, 4, 0x10
RDWR = os.O_RDWR | os.O_NONBLOCK
BLOCKING = os.O_RDWR
SG_IO = 0x2285


class Hdr(ctypes.Structure):
    """``sg_io_hdr``, laid out by ctypes for this machine and not by the code under test."""

    _fields_ = (
        ("interface_id", INT), ("dxfer_direction", INT), ("cmd_len", CHAR), ("mx_sb_len", CHAR),
        ("iovec_count", SHORT), ("dxfer_len", UINT), ("dxferp", POINTER), ("cmdp", POINTER), ("sbp", POINTER),
        ("timeout", UINT), ("flags", UINT), ("pack_id", INT), ("usr_ptr", POINTER), ("status", CHAR),
        ("masked_status", CHAR), ("msg_status", CHAR), ("sb_len_wr", CHAR), ("host_status", SHORT),
        ("driver_status", SHORT), ("resid", INT), ("duration", UINT), ("info", UINT),
    )  # fmt: skip


class Old(ctypes.Structure):
    """``sg_header``."""

    _fields_ = (
        ("pack_len", INT), ("reply_len", INT), ("pack_id", INT), ("result", INT), ("twelve_byte", UINT, 1),
        ("target_status", UINT, 5), ("host_status", UINT, 8), ("driver_status", UINT, 8),
        ("other_flags", UINT, 10), ("sense_buffer", CHAR * 16),
    )  # fmt: skip


class Info(ctypes.Structure):
    """``sg_req_info``."""

    _fields_ = (
        ("req_state", CHAR), ("orphan", CHAR), ("sg_io_owned", CHAR), ("problem", CHAR), ("pack_id", INT),
        ("usr_ptr", POINTER), ("duration", UINT), ("unused", INT),
    )  # fmt: skip


class V4(ctypes.Structure):
    """``sg_io_v4``."""

    _fields_ = (
        ("guard", INT), ("protocol", UINT), ("subprotocol", UINT), ("request_len", UINT),
        ("request", POINTER), ("request_tag", POINTER), ("request_attr", UINT), ("request_priority", UINT),
        ("request_extra", UINT), ("max_response_len", UINT), ("response", POINTER),
        ("dout_iovec_count", UINT), ("dout_xfer_len", UINT), ("din_iovec_count", UINT),
        ("din_xfer_len", UINT), ("dout_xferp", POINTER), ("din_xferp", POINTER), ("timeout", UINT),
        ("flags", UINT), ("usr_ptr", POINTER), ("spare_in", UINT), ("driver_status", UINT),
        ("transport_status", UINT), ("device_status", UINT), ("retry_delay", UINT), ("info", UINT),
        ("duration", UINT), ("response_len", UINT), ("din_resid", INT), ("dout_resid", INT),
        ("generated_tag", POINTER), ("spare_out", UINT), ("padding", UINT),
    )  # fmt: skip


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the name of its errno."""
    try:
        return call()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))


@dataclass
class Sent:
    """A header with everything that it points at."""

    header: Hdr
    keep: list[Any]
    data: Any
    sense: Any


def hdr(
    cdb: bytes = INQUIRY,
    length: int = 96,
    direction: int = FROM_DEV,
    data: bytes | None = None,
    **fields: int,
) -> Sent:
    """Return a header for a command; `fields` overwrite what would be right."""
    buffer = ctypes.create_string_buffer(
        data if data is not None else b"\xaa" * max(length, 1), max(length, 1)
    )
    command = ctypes.create_string_buffer(cdb, max(len(cdb), 1))
    sense = ctypes.create_string_buffer(64)
    at = ctypes.addressof
    header = Hdr(
        interface_id=ord("S"), dxfer_direction=direction, cmd_len=len(cdb), mx_sb_len=64, dxfer_len=length,
        dxferp=at(buffer) if length else 0, cmdp=at(command), sbp=at(sense), timeout=20000,
        pack_id=7, usr_ptr=0x1234,
    )  # fmt: skip
    for name, value in fields.items():
        setattr(header, name, value)
    return Sent(header, [buffer, command, sense], buffer, sense)


def ready(**fields: int) -> Sent:
    """Return a header for TEST UNIT READY."""
    return hdr(READY, 0, NONE, **fields)


def slow_read(**fields: int) -> Sent:
    """Return a header for the command that `Node.slow` slows down."""
    return hdr(READ_BLOCK, 512, FROM_DEV, **fields)


@dataclass
class Using:
    """A node, and the handles that a row has open."""

    node: Node
    handles: list[Handle] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)

    def open(self, flags: int = RDWR) -> Opened:
        handle = self.node.open(flags)
        self.handles.append(handle)
        return Opened(self, handle)

    def open_bsg(self, flags: int = os.O_RDWR) -> Opened:
        handle = self.node.open_bsg(flags)
        self.handles.append(handle)
        return Opened(self, handle)

    def close(self) -> None:
        for handle in self.handles:
            handle.close()
        self.handles.clear()


@dataclass
class Opened:
    """A handle with the calls that rows are made of. Each returns an outcome."""

    using: Using
    handle: Handle

    def put(self, value: int, request: int) -> Any:
        """An ioctl that takes an int."""
        room = INT(value)
        return outcome(lambda: self.handle.ioctl(request, ctypes.addressof(room)))

    def get(self, request: int) -> Any:
        """An ioctl that gives an int."""
        room = INT(-99)
        return outcome(lambda: (self.handle.ioctl(request, ctypes.addressof(room)), room.value)[1])

    def raw(self, request: int, argument: int = 0) -> Any:
        """An ioctl with an argument as it is."""
        return outcome(lambda: self.handle.ioctl(request, argument))

    def sg_io(self, sent: Sent, *names: str) -> Any:
        """SG_IO; the named members of the header afterwards, or its return value."""
        self.using.kept.append(sent)  # the device may write there after a signal has ended the call
        result = self.raw(SG_IO, ctypes.addressof(sent.header))
        return tuple(getattr(sent.header, name) for name in names) if names and result == 0 else result

    def sg_io_v4(self, cdb: bytes = INQUIRY, length: int = 96, *names: str, **fields: int) -> Any:
        """SG_IO with a version 4 header; ``data`` and ``sense`` stand for what came."""
        buffer, sense = ctypes.create_string_buffer(b"\xaa" * 128, 128), ctypes.create_string_buffer(64)
        command = ctypes.create_string_buffer(cdb)
        at = ctypes.addressof
        header = V4(
            guard=ord("Q"), request_len=len(cdb), request=at(command), max_response_len=64, response=at(sense)
        )
        header.din_xfer_len, header.din_xferp, header.timeout = length, at(buffer) if length else 0, 20000
        for name, value in fields.items():
            setattr(header, name, value)
        self.using.kept.append((header, buffer, sense, command))
        result = self.raw(SG_IO, at(header))
        if result != 0 or not names:
            return result
        given = {"data": buffer.raw[8:16], "sense": sense.raw[:3]}
        return tuple(given[name] if name in given else getattr(header, name) for name in names)

    def write(self, sent: Sent, count: int = 88) -> Any:
        """write() of a version 3 header."""
        self.using.kept.append(sent)
        return outcome(lambda: self.handle.write(ctypes.addressof(sent.header), count))

    def read(self, *names: str, count: int = 88, pack_id: int = -1) -> Any:
        """read() of a version 3 header; the named members, or its return value."""
        header = Hdr(interface_id=ord("S"), dxfer_direction=-1, pack_id=pack_id)
        room = ctypes.create_string_buffer(bytes(header), max(count, 88))
        result = outcome(lambda: self.handle.read(ctypes.addressof(room), count))
        answer = Hdr.from_buffer_copy(room)
        return tuple(getattr(answer, name) for name in names) if names and isinstance(result, int) else result

    def write_old(self, cdb: bytes, reply_len: int = 36, payload: bytes = b"", **fields: int) -> Any:
        """write() of the older interface."""
        data = bytes(Old(reply_len=reply_len, pack_id=3, **fields)) + cdb + payload
        return self.write_raw(data)

    def write_raw(self, data: bytes, count: int | None = None) -> Any:
        """write() of bytes."""
        room = ctypes.create_string_buffer(data, max(len(data), 1))
        self.using.kept.append(room)
        size = len(data) if count is None else count
        return outcome(lambda: self.handle.write(ctypes.addressof(room), size))

    def read_old(self, count: int, *names: str, pack_id: int = -1) -> Any:
        """read() of the older interface; the named members, ``data`` being what follows, or its value."""
        room = ctypes.create_string_buffer(bytes(Old(reply_len=count, pack_id=pack_id)), max(count, 36))
        result = outcome(lambda: self.handle.read(ctypes.addressof(room), count))
        if not names or not isinstance(result, int):
            return result
        answer = Old.from_buffer_copy(room)
        given = {"data": room.raw[36:count], "returned": result, "sense": bytes(answer.sense_buffer)}
        return tuple(given[name] if name in given else getattr(answer, name) for name in names)

    def poll(self) -> Any:
        return outcome(self.handle.poll)

    def table(self) -> Any:
        """SG_GET_REQUEST_TABLE: (state, orphan, owned, pack_id, usr_ptr) of the rows that are in use."""
        rows = (Info * 16)()
        result = self.raw(0x2286, ctypes.addressof(rows))
        if result != 0:
            return result
        return [
            (row.req_state, row.orphan, row.sg_io_owned, row.pack_id, row.usr_ptr)
            for row in rows
            if row.req_state
        ]

    def eventually(self, number: int) -> int:
        """Wait until so many requests can be read."""
        pause = threading.Event()
        for _ in range(2000):
            if self.get(0x227D) >= number:
                break
            pause.wait(0.005)
        return int(self.get(0x227D))

    @contextmanager
    def blocked(self, call: Callable[[], Any]) -> Iterator[list[Any]]:
        """Run a call in a thread while the block runs; its outcome is in the list afterwards."""
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(call()))
        thread.start()
        try:
            yield answers
        finally:
            thread.join(30)
            assert not thread.is_alive(), "the call hangs"

    def interrupted(self, call: Callable[[], Any], after_s: float = 0.1) -> Any:
        """Run a call in a thread, send a signal to it, and return its outcome."""
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(call()))
        thread.start()
        thread.join(after_s)
        self.handle.interrupt(thread)
        thread.join(30)
        return answers[0] if answers else "hangs"
