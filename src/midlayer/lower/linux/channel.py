"""One descriptor of an sg node, used by write and read, and the commands that are on their way by it."""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from ctypes import addressof, c_char

from midlayer.lower.linux.sg_io import (
    ANSWER_AT,
    CDB_BYTES,
    DXFER_FROM_DEV,
    DXFER_NONE,
    DXFER_TO_DEV,
    HEADER_BYTES,
    MAX_TIMEOUT_MS,
    SENSE_BYTES,
    Ioctl,
    address_of,
    from_driver_byte,
    unpack_answer,
)
from midlayer.mid.command import Command, HostByte

COMMANDS_PER_CHANNEL = 16

_SG_SET_FORCE_PACK_ID = 0x227B
_Q_AT_TAIL = 0x10
_NOT_YET = (errno.EAGAIN, errno.EINTR)
_PACK_ID_AT = 48

# As `sg_io.pack_request`, and the pack id.
_pack_request = struct.Struct("=iiBBHIQQQIIi").pack_into
_pack_id = struct.Struct("=i")

Done = Callable[[Command], None]


class Frame:
    """Room for a command on its way: header, CDB and sense data, at addresses that the kernel gets."""

    __slots__ = ("_cdb", "_cdb_at", "_keep", "_sense", "_sense_at", "channel", "command", "done", "header")

    def __init__(self) -> None:
        self.header = bytearray(HEADER_BYTES)
        self._cdb, self._sense = bytearray(CDB_BYTES), bytearray(SENSE_BYTES)
        self._cdb_at = addressof(c_char.from_buffer(self._cdb))
        self._sense_at = addressof(c_char.from_buffer(self._sense))
        self._keep: object = None
        self.command: Command | None = None
        self.channel: Channel | None = None
        self.done: Done | None = None

    def take(self, command: Command, done: Done, pack_id: int, flags: int) -> None:
        self.command, self.done = command, done
        cdb = command.cdb
        self._cdb[: len(cdb)] = cdb
        direction, count, address, self._keep = DXFER_NONE, 0, 0, None
        if command.data_in is not None:
            if count := len(command.data_in):
                direction = DXFER_FROM_DEV
                self._keep = first = c_char.from_buffer(command.data_in)
                address = addressof(first)
        elif command.data_out:
            direction, count = DXFER_TO_DEV, len(command.data_out)
            address, self._keep = address_of(command.data_out)
        timeout_ms = min(int(command.timeout_s * 1000) or 1, MAX_TIMEOUT_MS)
        if not command.at_head:
            flags |= _Q_AT_TAIL
        _pack_request(
            self.header, 0, 0x53, direction, len(cdb), SENSE_BYTES, 0, count,
            address, self._cdb_at, self._sense_at, timeout_ms, flags, pack_id,
        )  # fmt: skip

    def answer(self, header: bytes) -> tuple[Command, Done]:
        """Write the answer into the command, and let go of it."""
        command, done = self.command, self.done
        assert command is not None
        assert done is not None
        status, sense_length, host_byte, driver_byte, command.residual = unpack_answer(header, ANSWER_AT)
        if status or host_byte or sense_length or driver_byte:
            command.status = status
            command.host_byte = host_byte or from_driver_byte(driver_byte)
            command.sense_data = bytes(self._sense[:sense_length])
        self.forget()
        return command, done

    def forget(self) -> None:
        self.command = self.done = self._keep = None


class Channel:
    """One descriptor. Its lock is held while the kernel is called, so that nothing closes it meanwhile."""

    __slots__ = ("_free", "_ioctl", "fd", "frames", "lock", "retired")

    def __init__(self, fd: int, ioctl: Ioctl) -> None:
        self.fd = fd
        self.lock = threading.Lock()
        self.frames: dict[int, Frame] = {}
        self.retired = False
        self._ioctl = ioctl
        self._free = list(range(COMMANDS_PER_CHANNEL))

    @property
    def has_room(self) -> bool:
        return bool(self._free) and not self.retired

    @property
    def unused(self) -> bool:
        """True if nobody has a place that an answer may come for. The caller holds the channels' lock."""
        return not self.frames if self.retired else len(self._free) == COMMANDS_PER_CHANNEL

    def reserve(self) -> int:
        """Return a pack id, which is a place. The caller holds the lock of the channels."""
        return self._free.pop()

    def release(self, pack_id: int) -> None:
        self._free.append(pack_id)

    def write(self, frame: Frame, pack_id: int) -> bool:
        """Send a command; False if this channel takes none any more.

        Raises:
            OSError: What the kernel says; nothing was sent.
        """
        with self.lock:
            if self.retired:
                return False
            self.frames[pack_id] = frame
            try:
                os.write(self.fd, frame.header)
            except BaseException:
                del self.frames[pack_id]
                raise
            return True

    def retire(self) -> None:
        """Take no more commands, and read answers one by one. The caller holds the lock."""
        if not self.retired:
            with suppress(OSError):
                self._ioctl(self.fd, _SG_SET_FORCE_PACK_ID, _pack_id.pack(1), False)
            self.retired = True

    def read(self) -> list[tuple[Command, Done]]:
        """Take the answers that are there.

        Raises:
            OSError: Whatever the kernel says except "not yet".
        """
        finished: list[tuple[Command, Done]] = []
        with self.lock:
            if self.retired:
                self._read_chosen(finished)
            else:
                while self.frames:
                    try:
                        header = os.read(self.fd, HEADER_BYTES)
                    except OSError as error:
                        if error.errno in _NOT_YET or finished:
                            break
                        raise
                    if len(header) < HEADER_BYTES:
                        raise OSError(errno.EIO, "sg gave a short answer")
                    self._answered(header, finished)
        return finished

    def _read_chosen(self, finished: list[tuple[Command, Done]]) -> None:
        """Read only what nobody gave up: an answer goes to the buffer of its command."""
        for pack_id in list(self.frames):
            header = bytearray(HEADER_BYTES)
            _pack_request(header, 0, 0x53, DXFER_NONE, 0, 0, 0, 0, 0, 0, 0, 0, 0, pack_id)
            with suppress(BlockingIOError, InterruptedError):
                os.readv(self.fd, [header])
                self._answered(bytes(header), finished)

    def _answered(self, header: bytes, finished: list[tuple[Command, Done]]) -> None:
        (pack_id,) = _pack_id.unpack_from(header, _PACK_ID_AT)
        frame = self.frames.pop(pack_id, None)
        if frame is not None:
            finished.append(frame.answer(header))
            self.release(pack_id)

    def fail(self) -> list[tuple[Command, Done]]:
        """Give up every command: the descriptor is of no use any more."""
        with self.lock:
            frames, self.retired = list(self.frames.values()), True
            self.frames.clear()
        failed = []
        for frame in frames:
            command, done = frame.command, frame.done
            assert command is not None
            assert done is not None
            command.host_byte = HostByte.DID_NO_CONNECT
            command.residual = command.requested_bytes
            frame.forget()
            failed.append((command, done))
        return failed

    def abandon(self, command: Command) -> bool:
        """Forget a command that is on its way: its answer is never read. False if the channel lacks it."""
        with self.lock:
            pack_id = next((at for at, one in self.frames.items() if one.command is command), None)
            if pack_id is None:
                return False
            self.retire()  # because one of the answers must not be read
            self.frames.pop(pack_id).forget()
            return True

    def close(self) -> None:
        with self.lock:
            fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)  # what is still on its way the kernel forgets at its end
