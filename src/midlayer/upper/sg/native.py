"""sg: any SCSI command to any device of the subsystem, and everything about its outcome.

`execute` sends one command and waits for its end::

    result = execute(device, cdb, data_in=4096)
    result.status, result.host_byte, result.sense, result.residual, result.data

`BoundDevice.session` keeps many on their way; see `midlayer.upper.sg.session`.
Nothing is raised for what a device answers; `Result.raise_for_status` does, when asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from midlayer.mid.command import Buffer, Command, Result
from midlayer.mid.dispatch import run
from midlayer.mid.events import UpperDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.upper.sg.buffers import DEFAULT_TIMEOUT_S, buffers
from midlayer.upper.sg.session import DEFAULT_DEPTH, Session

if TYPE_CHECKING:
    from types import TracebackType

MAX_SENSE_BYTES = 252
_new, _init = object.__new__, Command.__init__


def execute(
    device: LogicalUnit,
    cdb: bytes,
    *,
    data_out: Buffer | None = None,
    data_in: bytearray | memoryview | int | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    max_sense: int = MAX_SENSE_BYTES,
) -> Result:
    """Send one command to a device and wait for its end.

    Args:
        device: A logical unit of a subsystem.
        cdb: The command descriptor block, 6 to 260 bytes.
        data_out: Bytes for the device; read where they are, not copied.
        data_in: A writable buffer for what the device sends, or a number of bytes to make one of.
        timeout_s: Seconds that the device has.
        max_sense: Most bytes of sense data to keep.

    Returns:
        What became of it. The device's data is in ``result.data``.

    Raises:
        UsageError: If the call makes no sense: no CDB, both directions at once, a read-only buffer.
    """
    # What `buffers` would do for the usual ways to call, without the call.
    if data_out is not None or not 6 <= len(cdb) <= 260:
        data_out, view = buffers(cdb, data_out, data_in)
    elif type(data_in) is bytearray:
        view = memoryview(data_in)
    else:
        view = None if data_in is None else buffers(cdb, None, data_in)[1]
    # Command(…) without the detour through the call of the class: Python calls Python quicker.
    command = _new(Command)
    _init(command, device, cdb, data_out, view, timeout_s, 0, True)
    result = run(command)
    if max_sense < MAX_SENSE_BYTES and len(result.sense_data) > max_sense:
        return result._replace(sense_data=result.sense_data[:max_sense])
    return result


class BoundDevice:
    """A device held open: it is not removed by `rescan`, and its reference is given back at the end.

    Use it as a context manager, or call `close`.

    Attributes:
        logical_unit: The device.
        closed: True after `close`.

    Raises:
        DeviceGone: From the constructor, if the device is being removed.
    """

    def __init__(self, logical_unit: LogicalUnit) -> None:
        self.logical_unit = logical_unit.get()
        self.closed = False

    def execute(
        self,
        cdb: bytes,
        *,
        data_out: Buffer | None = None,
        data_in: bytearray | memoryview | int | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_sense: int = MAX_SENSE_BYTES,
    ) -> Result:
        """Send one command; see `execute`."""
        return execute(
            self.logical_unit,
            cdb,
            data_out=data_out,
            data_in=data_in,
            timeout_s=timeout_s,
            max_sense=max_sense,
        )

    def session(self, *, depth: int = DEFAULT_DEPTH, on_ready: Callable[[], None] | None = None) -> Session:
        """Begin to send many commands at once; see `Session`. It holds the device by itself."""
        return Session(self.logical_unit, depth=depth, on_ready=on_ready)

    def close(self) -> None:
        """Give the reference back. A second call does nothing."""
        if not self.closed:
            self.closed = True
            self.logical_unit.put()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SgDriver(UpperDriver):
    """The upper-level driver: gives each device of ours an sg number, the lowest that is free.

    A device that brings its own sg name (the kernel's) keeps it.

    Args:
        first_minor: Lowest number to give, above those that the kernel may use.
    """

    def __init__(self, *, first_minor: int = 0) -> None:
        self._first_minor = first_minor
        self._lock = threading.Lock()
        self._devices: dict[int, LogicalUnit] = {}
        self._lowest_free = first_minor

    def match(self, device: LogicalUnit) -> bool:
        """Bind to every device, whatever its qualifier (rule SC-11)."""
        return True

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        if device.host.template.names_its_devices:
            return
        with self._lock:
            minor = self._lowest_free
            self._devices[minor] = device
            while self._lowest_free in self._devices:
                self._lowest_free += 1
        device.names["sg"] = f"sg{minor}"

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        name = device.names.get("sg", "")
        with self._lock:
            minor = int(name[2:]) if name.startswith("sg") else -1
            if self._devices.get(minor) is device:
                del self._devices[minor]
                self._lowest_free = min(self._lowest_free, minor)
