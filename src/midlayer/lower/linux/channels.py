"""sg's write and read: many commands at once on one device of the kernel, and one thread for their answers.

A `Channel` is a descriptor of the sg node, which the kernel lets have 16 commands on their way; `Channels`
opens another one when all are full. Data goes straight between the kernel and the submitter's buffer: the
kernel takes what is for the device while the command is written, and puts what comes from it where it
belongs while the answer is read, which only the thread of the channels does.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
from collections.abc import Callable

from midlayer.lower.linux.channel import Channel, Done, Frame
from midlayer.lower.linux.sg_io import IDLE_CLOSE_S, Ioctl
from midlayer.mid.clock import Clock, Timer
from midlayer.mid.command import Command
from midlayer.mid.host_template import DEVICE_BUSY

_log = logging.getLogger("midlayer.linux")

MAX_CHANNELS = 64
SUCCESS, FAILED = 0x2002, 0x2003
"""What `eh_abort_handler` returns."""

_LOOK_AGAIN_S = 0.01
_JOIN_S = 1.0
_NO_ROOM = (errno.EDOM, errno.EAGAIN, errno.ENOMEM)


class _KernelsTimer:
    """In the place of the mid level's timer: the kernel ends a command in time, and tells us by an answer."""

    @staticmethod
    def cancel() -> bool:
        return False


_KERNELS_TIMER: Timer = _KernelsTimer()


class Channels:
    """The channels of one device, and the thread that reads their answers while there are any.

    Args:
        name: Of the device, for the thread.
        open_fd: Opens the sg node once more, non-blocking; called without a lock held.
        ioctl: `fcntl.ioctl`.
        clock: Closes idle channels, as for `sg_io.Pool`. None keeps them open.
        flags: Of ``sg_io_hdr``, for every command.

    Attributes:
        closing: True as soon as `close` was called.
    """

    def __init__(
        self,
        name: str,
        open_fd: Callable[[], int],
        ioctl: Ioctl,
        *,
        clock: Clock | None = None,
        flags: int = 0,
    ) -> None:
        self.flags = flags
        self._name = name
        self._open_fd = open_fd
        self._ioctl = ioctl
        self._clock = clock
        self._timer: Timer | None = None
        self._used = False
        self._lock = threading.Lock()
        self._channels: list[Channel] = []
        self._reader: _Reader | None = None
        self.closing = False

    @property
    def opened(self) -> int:
        """Channels that there are now."""
        return len(self._channels)

    def submit(self, command: Command, done: Done) -> int:
        """Write a command to the kernel; `done` is called when its answer has been read.

        Returns:
            0, or DEVICE_BUSY: no room now; commands of ours are on their way, and each that ends makes room.

        Raises:
            OSError: What the kernel says of the command, or of the node.
        """
        frame = Frame()
        while True:
            channel, pack_id = self._reserve()
            if channel is None:
                break
            try:
                frame.take(command, done, pack_id, self.flags)
                command.timer = _KERNELS_TIMER
                if channel.write(frame, pack_id):
                    return 0
            except BaseException as error:
                command.timer = None
                frame.forget()
                channel.release(pack_id)
                if isinstance(error, OSError) and error.errno in _NO_ROOM and self._others_on_their_way():
                    break
                raise
            command.timer = None
            channel.release(pack_id)
        return DEVICE_BUSY

    def abandon(self, command: Command) -> int:
        """Forget a command that is on its way (`HostTemplate.eh_abort_handler`)."""
        with self._lock:
            channels, reader = list(self._channels), self._reader
        found = any(channel.abandon(command) for channel in channels)
        if found and reader is not None:
            reader.wake()
        return SUCCESS if found else FAILED

    def close(self) -> None:
        """Close the channels when their last answers have been read; wait for that if there are none."""
        with self._lock:
            self.closing = True
            reader = self._reader
            idle = all(channel.unused for channel in self._channels)
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if reader is not None:
            reader.wake()
            if idle:
                reader.join()

    def sweep(self) -> tuple[list[Channel], bool]:
        """Return the channels that are done with, and whether there are others; for the reader."""
        with self._lock:
            keep: list[Channel] = []
            drop: list[Channel] = []
            for channel in self._channels:
                over = channel.unused and (channel.retired or self.closing)
                (drop if over else keep).append(channel)
            for channel in drop:
                channel.retired = True
            self._channels = keep
            if not keep:
                self._reader = None
        return drop, bool(keep)

    def _others_on_their_way(self) -> bool:
        with self._lock:
            return any(channel.frames for channel in self._channels)

    def _reserve(self) -> tuple[Channel | None, int]:
        self._used = True
        with self._lock:
            for channel in self._channels:
                if channel.has_room:
                    return channel, channel.reserve()
            if len(self._channels) >= MAX_CHANNELS:
                return None, 0
        channel = Channel(self._open_fd(), self._ioctl)
        with self._lock:
            if not self.closing:
                pack_id = channel.reserve()
                self._channels.append(channel)
                if self._reader is None:
                    self._reader = _Reader(self._name, self)
                self._reader.add(channel)
                if self._clock is not None and self._timer is None:
                    self._timer = self._clock.call_later(IDLE_CLOSE_S, self._close_if_idle)
                return channel, pack_id
        channel.close()
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    def _close_if_idle(self) -> None:
        with self._lock:
            used, self._used = self._used, False
            idle = not used and all(channel.unused for channel in self._channels)
            reader = self._reader
            self._timer = None
            if idle:
                for channel in self._channels:
                    channel.retired = True
            elif self._clock is not None and not self.closing:
                self._timer = self._clock.call_later(IDLE_CLOSE_S, self._close_if_idle)
        if idle and reader is not None:
            reader.wake()


class _Reader:
    """The thread that waits for answers. It ends with the last channel; the next one gets a new thread."""

    def __init__(self, name: str, channels: Channels) -> None:
        self._name = name
        self._owner = channels
        self._epoll = select.epoll()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()  # `wake` may come after the end
        self._ended = False
        self._by_fd: dict[int, Channel] = {}
        self._one_by_one: set[Channel] = set()  # which poll says nothing useful about
        self._epoll.register(self._waker, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name=f"midlayer-sg-{name}", daemon=True)
        self._thread.start()

    def add(self, channel: Channel) -> None:
        self._by_fd[channel.fd] = channel
        self._epoll.register(channel.fd, select.EPOLLIN)

    def wake(self) -> None:
        with self._lock:
            if not self._ended:
                os.eventfd_write(self._waker, 1)

    def join(self) -> None:
        if self._thread is not threading.current_thread():
            # Not for ever: whoever it has told of an end may itself wait for a lock that our caller holds.
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            while True:
                attend = self._owner.closing or any(one.retired for one in list(self._by_fd.values()))
                for fd, mask in self._epoll.poll(_LOOK_AGAIN_S if attend else -1):
                    if fd == self._waker:
                        os.eventfd_read(self._waker)
                        attend = True
                    else:
                        self._read(self._by_fd[fd], hung_up=bool(mask & select.EPOLLHUP))
                if attend and not self._attend():
                    return
        finally:
            with self._lock:
                self._ended = True
                os.close(self._waker)
                self._epoll.close()

    def _attend(self) -> bool:
        """See to channels that are no longer polled, and close those that are done with; False at the end."""
        for channel in list(self._by_fd.values()):
            if channel.retired:
                if channel not in self._one_by_one:
                    self._epoll.unregister(channel.fd)
                    self._one_by_one.add(channel)
                self._read(channel)
        drop, others = self._owner.sweep()
        for channel in drop:
            self._one_by_one.discard(channel)
            del self._by_fd[channel.fd]
            channel.close()
        return others

    def _read(self, channel: Channel, *, hung_up: bool = False) -> None:
        if hung_up:
            # The device goes, and poll would say so for ever; what is on its way still comes.
            with channel.lock:
                channel.retire()
        try:
            finished = channel.read()
        except OSError as error:
            _log.warning("%s: sg's read failed: %s", self._name, os.strerror(error.errno or 0))
            finished = channel.fail()
        for command, done in finished:
            done(command)
