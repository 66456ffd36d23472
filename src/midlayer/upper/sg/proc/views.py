"""What the proc files need to know of the sg driver, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.upper.sg.parameters import SgParameters

if TYPE_CHECKING:
    from midlayer.mid.subsystem import Subsystem

GOING = frozenset({DeviceState.CANCEL, DeviceState.DELETED})
"""States of a device that is not shown any more."""

_NODE = re.compile(r"sg(\d{1,9})", re.ASCII)


class RequestView(Protocol):
    """One request, as it was when it was asked for; it does not change any more.

    Attributes:
        kind: Whose memory it uses: ``rb`` and ``mmap`` the reserved buffer, ``dio`` the caller's, or empty.
        state: ``prior``, ``act``, ``rcv`` or ``fin``.
        pack_id, blen, sgat, opcode: As in the file.
        duration_ms: How long the command took; of meaning in ``rcv`` and ``fin``.
        timeout_ms, elapsed_ms: How long it may take, and has taken; of meaning in ``prior`` and ``act``.
    """

    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def pack_id(self) -> int: ...
    @property
    def blen(self) -> int: ...
    @property
    def duration_ms(self) -> int | None: ...
    @property
    def timeout_ms(self) -> int: ...
    @property
    def elapsed_ms(self) -> int: ...
    @property
    def sgat(self) -> int: ...
    @property
    def opcode(self) -> int: ...


class SgFileView(Protocol):
    """One open file descriptor of an sg device, or a closed one that still has requests on their way."""

    @property
    def timeout_ms(self) -> int: ...
    @property
    def reserved_bytes(self) -> int: ...
    @property
    def reserved_sgat(self) -> int: ...
    @property
    def cmd_q(self) -> bool: ...
    @property
    def force_pack_id(self) -> bool: ...
    @property
    def keep_orphan(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def requests(self) -> tuple[RequestView, ...]: ...


class SgDeviceView(Protocol):
    """One sg device.

    Attributes:
        minor: Its number.
        device: The logical unit.
        lock: Held by whoever changes what follows, so that what is read under it belongs together.
        files: Descriptors in the order of opening.
        exclusive: One of them was opened with O_EXCL.
        detaching: The logical unit is going away.
        sg_tablesize: Pieces of a scatter-gather list.
    """

    @property
    def minor(self) -> int: ...
    @property
    def device(self) -> LogicalUnit: ...
    @property
    def lock(self) -> AbstractContextManager[Any]: ...
    @property
    def files(self) -> tuple[SgFileView, ...]: ...
    @property
    def exclusive(self) -> bool: ...
    @property
    def detaching(self) -> bool: ...
    @property
    def sg_tablesize(self) -> int: ...


class SgRegistry(Protocol):
    """Who knows all sg devices."""

    @property
    def parameters(self) -> SgParameters:
        """What ``allow_dio`` and ``def_reserved_size`` read and change."""

    def devices(self) -> Iterable[SgDeviceView]:
        """Return the devices that are there now, in any order."""


@dataclass(frozen=True, slots=True)
class UnopenedDevice:
    """An sg device of which only the number is known."""

    minor: int
    device: LogicalUnit
    files: tuple[SgFileView, ...] = ()
    exclusive: bool = False
    detaching: bool = False
    lock: AbstractContextManager[Any] = field(default_factory=nullcontext)

    @property
    def sg_tablesize(self) -> int:
        """Of the host."""
        return self.device.host.sg_tablesize


class NamedDevices:
    """The devices that bear an sg name, for a subsystem whose sg devices nobody opens by node."""

    def __init__(self, subsystem: Subsystem) -> None:
        self._subsystem = subsystem
        self.parameters = SgParameters()

    def devices(self) -> list[UnopenedDevice]:
        """Return the devices by their names."""
        found = []
        for device in self._subsystem.devices():
            if device.state in GOING:  # its number may be another's by now
                continue
            match = _NODE.fullmatch(device.names.get("sg", ""))
            if match is not None:
                found.append(UnopenedDevice(int(match[1]), device))
        return found
