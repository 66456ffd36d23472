"""``/dev/scsimon``: the node, and the files that programs have open on it.

Whoever serves nodes (`midlayer.frontends.nodes`) calls a `ScsimonFile` as it calls an `SgFile`. A call that
blocks blocks its thread; `ScsimonFile.interrupt` ends it as a signal does.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from midlayer.upper.scsimon import requests
from midlayer.upper.scsimon.driver import ScsimonDriver
from midlayer.upper.scsimon.elements import event_element, gap_element
from midlayer.upper.scsimon.interface import EVENT
from midlayer.upper.sg.descriptor import ReadData
from midlayer.upper.sg.device import Allocate, Waiting
from midlayer.upper.sg.header import LP64
from midlayer.upper.sg.parameters import ROOT, Caller
from midlayer.upper.sg.transfer import os_error

if TYPE_CHECKING:
    from midlayer.mid.subsystem import Subsystem
    from midlayer.upper.sg.memory import Memory

POLL_IN_BAND = 1
_READABLE = select.POLLIN | select.POLLRDNORM
_MOST_EVENTS = 4096
"""Most that one read(2) returns."""


class ScsimonNode:
    """The node of one subsystem.

    Args:
        subsystem: Whose devices.
        scsimon: Their events.

    Attributes:
        name: Below ``/dev``.
        number: Major and minor: misc, and the first number that is reserved for local use.
        minor: The same minor.
        changed: Notified after new events; guards who waits.
    """

    name = "scsimon"
    number = (10, 247)
    minor = number[1]

    def __init__(self, subsystem: Subsystem, scsimon: ScsimonDriver) -> None:
        self.subsystem = subsystem
        self.scsimon = scsimon
        self.changed = threading.Condition()
        self._files: tuple[ScsimonFile, ...] = ()
        self._end_listening: Callable[[], None] | None = None

    def open(
        self, flags: int, *, caller: Caller = ROOT, bsg: bool = False, allocate: Allocate = bytearray
    ) -> ScsimonFile:
        """Open a file; any number may be open. `bsg` and `allocate` mean nothing here."""
        file = ScsimonFile(self, flags, caller)
        with self.changed:
            self._files += (file,)
            if self._end_listening is None:
                self._end_listening = self.scsimon.add_listener(self._news)
        return file

    def interrupt(self, thread: int | None = None) -> bool:
        """Return False: an open never waits."""
        return False

    def forget(self, file: ScsimonFile) -> None:
        """A file is closed. Called with the condition held."""
        self._files = tuple(other for other in self._files if other is not file)
        if not self._files and self._end_listening is not None:
            self._end_listening()
            self._end_listening = None

    def _news(self) -> None:
        with self.changed:
            self.changed.notify_all()
            files = self._files
        for file in files:
            file.tell()


def scsimon_node(subsystem: Subsystem) -> ScsimonNode | None:
    """Return the node of a subsystem's scsimon; None if it has none."""
    for driver in subsystem.upper_drivers():
        if isinstance(driver, ScsimonDriver):
            return ScsimonNode(subsystem, driver)
    return None


class ScsimonFile:
    """An open file. Made by `ScsimonNode.open`; every method may be called from any thread.

    Attributes:
        node: Where it was opened.
        caller: Who opened it.
        nonblock: O_NONBLOCK; may be changed, as fcntl(2) does.
        may_read, may_write: By the access mode.
        position: The last event that was read.
        closed: Nobody has it open.
        abi: Whatever is set here has no effect: 32-bit programs see the same.
        keep_orphan, force_pack_id: What a server of nodes asks of a file: it may tell of something at any
            time, and a read needs nothing of the buffer's content.
    """

    keep_orphan = True
    force_pack_id = False

    def __init__(self, node: ScsimonNode, flags: int, caller: Caller) -> None:
        self.node = node
        self.caller = caller
        self.nonblock = bool(flags & os.O_NONBLOCK)
        access = flags & os.O_ACCMODE
        self.may_read = access in (os.O_RDONLY, os.O_RDWR)
        self.may_write = access in (os.O_WRONLY, os.O_RDWR)
        self.position = node.scsimon.event_count
        self.closed = False
        self.abi = LP64
        self._reading = threading.Lock()
        self._waiting = Waiting(node.changed)
        self._owners: tuple[Callable[[int], object], ...] = ()

    def read(self, count: int, header: bytes, memory: Memory, *, caller: Caller | None = None) -> ReadData:
        """Return events after the position, as many as there is room for; wait until there is one.

        Raises:
            OSError: EBADF, EINVAL; EAGAIN; EINTR if the wait was interrupted.
        """
        if not self.may_read:
            raise os_error(errno.EBADF)
        if count < EVENT.size:
            raise os_error(errno.EINVAL)
        while True:
            self._wait_for_news()
            with self._reading:  # not the condition: the log must not wait for a reader
                data = self._take(min(count // EVENT.size, _MOST_EVENTS))
            if data:
                return ReadData(data, len(data))

    def write(
        self, data: bytes | bytearray | memoryview, memory: Memory, *, caller: Caller | None = None
    ) -> int:
        """Nothing can be written."""
        raise os_error(errno.EINVAL if self.may_write else errno.EBADF)

    def ioctl(self, request: int, argument: int, memory: Memory, *, caller: Caller | None = None) -> int:
        """Carry out an ioctl; see ``scsimon.h``.

        Raises:
            OSError: ENOTTY, EFAULT, EINVAL, ENODEV, EPERM, ETIMEDOUT; EINTR if the wait was interrupted.
        """
        return requests.carry_out(self, request, argument, memory, caller or self.caller)

    def poll(self) -> int:
        """Return the POLL bits that hold now."""
        return _READABLE if self.node.scsimon.event_count > self.position else 0

    def mmap(self, length: int, offset: int) -> memoryview:
        """Nothing can be mapped."""
        raise os_error(errno.ENODEV)

    def fasync(self, owner: Callable[[int], object], *, on: bool = True) -> None:
        """Have a callback called with 1 (POLL_IN) after new events, in any thread; it must not block."""
        with self.node.changed:
            others = tuple(known for known in self._owners if known != owner)
            self._owners = (*others, owner) if on else others
        if on and self.poll():  # it came between the open and this call
            owner(POLL_IN_BAND)

    def tell(self) -> None:
        """Call who wants to hear that there may be something to read."""
        for owner in self._owners:
            owner(POLL_IN_BAND)

    def interrupt(self, thread: int | None = None) -> bool:
        """End a call that blocks in a thread, or every one, with EINTR; False if none blocked."""
        with self.node.changed:
            return self._waiting.interrupt(thread)

    def close(self) -> None:
        """Close the file. Again is no error."""
        with self.node.changed:
            if self.closed:
                return
            self.closed = True
            self.node.forget(self)
            self.node.changed.notify_all()

    def set_position(self, since: int) -> None:
        """Have read(2) go on after an event.

        Raises:
            OSError: EINVAL if it is beyond the last one.
        """
        with self._reading:
            if since > self.node.scsimon.event_count:
                raise os_error(errno.EINVAL)
            self.position = since
        self.tell()

    def wait(self, since: int, timeout_s: float | None) -> int:
        """Wait until there is an event after `since`, and return the event count.

        Raises:
            OSError: EINTR; ETIMEDOUT.
        """
        scsimon, clock = self.node.scsimon, self.node.subsystem.clock
        over = threading.Event()
        timer = None

        def end() -> None:
            over.set()
            with self.node.changed:
                self.node.changed.notify_all()

        if timeout_s:
            timer = clock.call_later(timeout_s, end)
        elif timeout_s == 0:
            over.set()
        try:
            with self.node.changed:
                ready = self._waiting.wait_for(
                    lambda: scsimon.event_count > since or over.is_set() or self.closed
                )
        finally:
            if timer is not None:
                timer.cancel()
        if not ready or self.closed:
            raise os_error(errno.EBADF if self.closed else errno.EINTR)
        if (now := scsimon.event_count) <= since:
            raise os_error(errno.ETIMEDOUT)
        return now

    def _wait_for_news(self) -> None:
        def ready() -> bool:
            return self.closed or self.node.scsimon.event_count > self.position

        if not ready() and self.nonblock:
            raise os_error(errno.EAGAIN)
        with self.node.changed:
            if not self._waiting.wait_for(ready):
                raise os_error(errno.EINTR)
        if self.closed:
            raise os_error(errno.EBADF)

    def _take(self, room: int) -> bytes:
        """Return events, and go on behind them; nothing if another thread was quicker."""
        if self.node.scsimon.event_count <= self.position:
            return b""
        page = self.node.scsimon.events(self.position, room)
        elements = []
        if page.gap is not None:
            elements.append(gap_element(page.gap))
            self.position = page.gap.last_missing
        for event in page.events[: room - len(elements)]:
            elements.append(event_element(event))
            self.position = event.event_count
        return b"".join(elements)
