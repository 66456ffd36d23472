"""An sg device: one logical unit, and the descriptors that are open on it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from midlayer.errors import DeviceGone
from midlayer.mid.host import HostState
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.upper.sg.native import SgDriver
from midlayer.upper.sg.parameters import ROOT, Caller, SgParameters
from midlayer.upper.sg.transfer import os_error

if TYPE_CHECKING:
    from midlayer.upper.sg.descriptor import SgFile
    from midlayer.upper.sg.queue import RequestQueue

_RECOVERY = frozenset({HostState.RECOVERY, HostState.CANCEL_RECOVERY, HostState.DEL_RECOVERY})
_NOT_ONLINE = frozenset({DeviceState.OFFLINE, DeviceState.TRANSPORT_OFFLINE, DeviceState.DELETED})
_HOST_RUNS, _DEVICE_RUNS = HostState.RUNNING, DeviceState.RUNNING
_RECOVERY_POLL_S = 0.02
_USUAL_MAX_SECTORS = 2560

Allocate = Callable[[int], bytearray | memoryview]


class Waiting:
    """Threads that block in a call on a device or a descriptor, so that a signal can end their wait.

    Attributes:
        threads: Who waits now, and whether it was interrupted.
    """

    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition
        self.threads: dict[int, bool] = {}

    def wait_for(self, ready: Callable[[], bool], *, poll_s: float | None = None) -> bool:
        """Wait until `ready` holds. The caller holds the condition.

        Args:
            ready: Called with the condition held.
            poll_s: Ask again so often, for what nobody notifies of.

        Returns:
            False if the wait was interrupted; `ready` does not hold then.
        """
        thread = threading.get_ident()
        self.threads[thread] = False
        try:
            while not ready():
                if self.threads[thread]:
                    return False
                self._condition.wait(poll_s)
            return True
        finally:
            del self.threads[thread]

    def interrupt(self, thread: int | None) -> bool:
        """End the wait of one thread, or of all. The caller holds the condition."""
        found = [each for each in self.threads if thread in (None, each)]
        for each in found:
            self.threads[each] = True
        self._condition.notify_all()
        return bool(found)


class SgDevice:
    """One logical unit as sg has it.

    Args:
        device: The logical unit.
        parameters: The driver's.
        minor: Its number; -1 where the node has no number.

    Attributes:
        lock: Guards everything below, and every request of every descriptor: a snapshot is whole.
        exclusive: A descriptor was opened with O_EXCL.
        sgdebug: Value of SG_SET_DEBUG.
        detaching: The device is going away.
        sg_tablesize: Pieces of a scatter-gather list, as read at the first open.
        waiting: Who blocks in `open`.
    """

    def __init__(
        self, device: LogicalUnit, parameters: SgParameters | None = None, *, minor: int = -1
    ) -> None:
        self.device = device
        self.parameters = parameters or SgParameters()
        self.minor = minor
        self.lock = threading.RLock()
        self.exclusive = False
        self.sgdebug = 0
        self.detaching = False
        self.open_count = 0
        self.sg_tablesize = device.host.sg_tablesize
        self._changed = threading.Condition(self.lock)
        self.waiting = Waiting(self._changed)
        self._files: list[SgFile] = []

    @property
    def files(self) -> tuple[SgFile, ...]:
        """Descriptors that are open, or closed with requests on their way, in the order of opening."""
        with self.lock:
            return tuple(self._files)

    @property
    def name(self) -> str:
        """``sg3``."""
        return self.device.names.get("sg") or f"sg{self.minor}"

    @property
    def online(self) -> bool:
        """The device takes commands."""
        state = self.device.state
        return state is _DEVICE_RUNS or state not in _NOT_ONLINE

    @property
    def max_bytes(self) -> int:
        """Most bytes that the host takes in one command."""
        return self.device.host.max_sectors << 9

    @property
    def usual_max_bytes(self) -> int:
        """What BLKSECTGET says, and what bounds the reserved buffer."""
        return min(self.device.host.max_sectors, _USUAL_MAX_SECTORS) << 9

    @property
    def in_recovery(self) -> bool:
        """The host's error handler is at work."""
        state = self.device.host.state
        return state is not _HOST_RUNS and state in _RECOVERY

    def open(
        self, flags: int, *, caller: Caller = ROOT, bsg: bool = False, allocate: Allocate = bytearray
    ) -> SgFile:
        """Open a descriptor (rules SG-1 to SG-9).

        Args:
            flags: As for open(2): access mode, O_EXCL, O_NONBLOCK.
            caller: Who opens.
            bsg: The node is the bsg one: SG_IO takes version 4 there.
            allocate: Makes the reserved buffer, perhaps where the caller sees it.

        Raises:
            OSError: EPERM, ENXIO, ENODEV, EBUSY; EINTR if the wait was interrupted.
        """
        from midlayer.upper.sg.descriptor import SgFile  # noqa: PLC0415 (each knows the other)

        if bsg:
            flags &= ~os.O_EXCL
        elif flags & os.O_EXCL and flags & os.O_ACCMODE == os.O_RDONLY:
            raise os_error(errno.EPERM)
        if self.detaching:
            raise os_error(errno.ENODEV)
        try:
            self.device.get()
        except DeviceGone:
            raise os_error(errno.ENXIO) from None
        try:
            if not flags & os.O_NONBLOCK and not self.wait_for_recovery(self.waiting):
                raise os_error(errno.ENXIO)
            with self.lock:
                if not bsg:
                    self._admit(flags)
                file = SgFile(self, flags, caller, bsg=bsg, allocate=allocate)
                if bsg:
                    return file
                self.exclusive = bool(flags & os.O_EXCL)
                self._files.append(file)
                self.open_count += 1
                return file
        except BaseException:
            self.device.put()
            raise

    def _admit(self, flags: int) -> None:
        exclusive = flags & os.O_EXCL

        def taken() -> bool:
            return self.open_count > 0 if exclusive else self.exclusive

        if flags & os.O_NONBLOCK:
            if taken():
                raise os_error(errno.EBUSY)
        elif taken():
            if not self.waiting.wait_for(lambda: self.detaching or not taken()):
                raise os_error(errno.EINTR)
            if self.detaching:
                raise os_error(errno.ENODEV)
        if not self.open_count:  # SG-9
            self.sgdebug = 0
            self.sg_tablesize = self.device.host.sg_tablesize

    def wait_for_recovery(self, waiting: Waiting) -> bool:
        """Wait until the host's error handler is idle, then say whether the device is online.

        Raises:
            OSError: EINTR.
        """
        if self.in_recovery:
            with self.lock:
                if not waiting.wait_for(lambda: not self.in_recovery, poll_s=_RECOVERY_POLL_S):
                    raise os_error(errno.EINTR)
        return self.online

    def interrupt(self, thread: int | None = None) -> bool:
        """End an open() that waits, with EINTR; True if there was one."""
        with self.lock:
            return self.waiting.interrupt(thread)

    def released(self) -> None:
        """A descriptor was closed; called by `SgFile.close` with the lock held."""
        self.open_count -= 1
        if self.exclusive or not self.open_count:
            self.exclusive = False
            self._changed.notify_all()

    def forget(self, file: RequestQueue) -> None:
        """A closed descriptor has no request left. Called with the lock held."""
        self._files = [other for other in self._files if other is not file]

    def detach(self) -> None:
        """The device is going away: wake everybody up."""
        with self.lock:
            if self.detaching:
                return
            self.detaching = True
            files = tuple(self._files)
            self._changed.notify_all()
        for file in files:
            file.hang_up()


class SgNodes(SgDriver):
    """The upper-level driver that numbers devices, and keeps an `SgDevice` for each.

    Args:
        first_minor: Lowest number to give.
        parameters: For all devices.
    """

    def __init__(self, *, first_minor: int = 0, parameters: SgParameters | None = None) -> None:
        super().__init__(first_minor=first_minor)
        self.parameters = parameters or SgParameters()
        self._nodes: dict[LogicalUnit, SgDevice] = {}
        self._nodes_lock = threading.Lock()

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        super().attach(device, by_resync=by_resync)
        node = SgDevice(device, self.parameters, minor=_minor(device))
        with self._nodes_lock:
            self._nodes[device] = node

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        with self._nodes_lock:
            node = self._nodes.pop(device, None)
        if node is not None:
            node.detach()
        super().detach(device, by_resync=by_resync)

    def changed(self, device: LogicalUnit, changes: dict[str, str], *, by_resync: bool = False) -> None:
        super().changed(device, changes, by_resync=by_resync)
        node = self._nodes.get(device)
        if node is not None:  # the kernel's devices get their names after they are there
            node.minor = _minor(device)

    def devices(self) -> tuple[SgDevice, ...]:
        """Return the devices, in order of number."""
        with self._nodes_lock:
            nodes = list(self._nodes.values())
        return tuple(sorted(nodes, key=lambda node: node.minor))

    def device(self, minor: int) -> SgDevice:
        """Return the device with a number.

        Raises:
            OSError: ENXIO if there is none (rule SG-2).
        """
        for node in self.devices():
            if node.minor == minor:
                return node
        raise os_error(errno.ENXIO)


def _minor(device: LogicalUnit) -> int:
    number = device.names.get("sg", "").removeprefix("sg")
    return int(number) if number.isdigit() else -1
