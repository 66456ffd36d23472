"""Every error that midlayer raises, in one tree.

::

    MidlayerError
    ├── UsageError (ValueError)       a call or a command line that makes no sense
    │   ├── AddressError              not an address: "2:0:1:0"
    │   ├── SpecError                 a key, or its value, that a unit, a session or a target can not have
    │   └── DeviceUrlError            not a device: "/dev/sg3", "sg3", "2:0:1:0", "virtual:disk?size=1G"
    ├── ConfigError                   file, line and key of a mistake in the configuration
    ├── SubsystemError
    │   ├── NoSuchDevice              nothing is attached at that address
    │   ├── NoSuchHost                no host has that number
    │   ├── DeviceExists              an address is taken
    │   ├── DeviceGone                a reference was asked for after removal began
    │   ├── DeviceInUse               somebody holds the device open
    │   ├── InvalidRequest            outside what the host can address (the kernel's EINVAL)
    │   ├── StateError                a state change that the table does not have
    │   └── DriverError               a lower-level driver broke its contract
    ├── NodeError (OSError)           a device node or a sysfs file could not be used
    │   └── NodePermission            which node, which right
    ├── EventLogError                 the event log can not be opened, read or written
    │   ├── EventLogLocked            another daemon owns the state directory
    │   └── EventLogBehind            events wait in memory because the disk refuses them
    ├── DaemonError                   the daemon's answer, or its absence
    └── CommandError                  a command that did not end well; `.result` has everything
        ├── HostError                 by host byte: NoConnect, TimedOut, Aborted, TransportError
        ├── StatusError               by SCSI status: Busy, TaskSetFull, ReservationConflict, TaskAborted
        └── SenseError                by sense key: NotReady, MediumError, …, found most specific first

`CommandError.from_result` finds the class: by (key, asc, ascq), then (key, asc), then key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midlayer.mid.command import Result


class MidlayerError(Exception):
    """Root of the tree; catching it catches everything that midlayer raises on purpose."""


class UsageError(MidlayerError, ValueError):
    """A call or a command line that makes no sense."""


class AddressError(UsageError):
    """Text that is not a host:channel:target:lun address."""


class SpecError(UsageError):
    """A key or a value that a unit, a host, a session or a target can not have.

    Args:
        key: The key that is wrong.
        message: What is wrong with it, and what to write instead.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message

    def __reduce__(self) -> tuple[type[SpecError], tuple[object, ...]]:
        """Pickle what it was made of."""
        return type(self), (self.key, self.message)


class DeviceUrlError(UsageError):
    """Text that does not name a device in any of the known forms."""


class ConfigError(MidlayerError):
    """A mistake in the configuration.

    Args:
        message: What is wrong and what to write instead.
        file: Name of the file, as the user gave it.
        line: Line number from 1, or 0 if the mistake has no line (a missing key).
        key: Dotted key, such as ``host.unit.size``.
    """

    def __init__(self, message: str, *, file: str = "", line: int = 0, key: str = "") -> None:
        place = file + (f":{line}" if line else "")
        super().__init__(": ".join(part for part in (place, key, message) if part))
        self.file = file
        self.line = line
        self.key = key


class SubsystemError(MidlayerError):
    """The mid level can not do what was asked."""


class NoSuchDevice(SubsystemError):
    """Nothing is attached at that address."""


class NoSuchHost(SubsystemError):
    """No host has that number."""


class DeviceExists(SubsystemError):
    """The address, or the host number, is taken."""


class DeviceGone(SubsystemError):
    """A reference was asked for after removal had begun (the kernel's ENXIO)."""


class DeviceInUse(SubsystemError):
    """Somebody holds the device open, mounts it or stacks a device on it."""


class InvalidRequest(SubsystemError):
    """Outside of what the host or the device can do (the kernel's EINVAL)."""


class StateError(SubsystemError):
    """A change of state that the state table does not have."""


class DriverError(SubsystemError):
    """A lower-level driver broke its contract; the text names the driver and the rule."""


class NodeError(MidlayerError, OSError):
    """A device node, a sysfs file or the file of a disk could not be used; the text says which, and why."""

    def __str__(self) -> str:
        # OSError would put the number before a text that says what the number means.
        return str(self.strerror) if self.strerror else super().__str__()


class NodePermission(NodeError, PermissionError):
    """A node exists, but this process may not use it; the text names the node and the right."""


class EventLogError(MidlayerError):
    """The event log can not be opened, read or written."""


class EventLogLocked(EventLogError):
    """Another process owns the state directory."""


class EventLogBehind(EventLogError):
    """Events wait in memory, in order, because the disk refuses them."""


class DaemonError(MidlayerError):
    """The daemon refused, or did not answer.

    Args:
        message: What it said.
        exit_status: Exit status for a command line, as sg3_utils(8) numbers them.
    """

    def __init__(self, message: str, *, exit_status: int = 15) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class CommandError(MidlayerError):
    """A command that did not end well. `result` has status, host byte, sense, residual and duration."""

    def __init__(self, result: Result) -> None:
        super().__init__(str(result))
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.result,)

    @staticmethod
    def from_result(result: Result) -> CommandError:
        """Return the most specific error for `result`, which must not be a success."""
        if result.host_byte:
            return _BY_HOST_BYTE.get(int(result.host_byte), HostError)(result)
        sense = result.sense
        if sense is not None:
            triple = (int(sense.key), sense.asc, sense.ascq)
            for key in (triple, triple[:2], triple[:1]):
                if key in _BY_SENSE:
                    return _BY_SENSE[key](result)
        return _BY_STATUS.get(int(result.status), StatusError)(result)


class HostError(CommandError):
    """The host byte says that the command did not reach the device, or no answer came back."""


class NoConnect(HostError):
    """DID_NO_CONNECT or DID_BAD_TARGET: nothing answers at that address."""


class TimedOut(HostError):
    """DID_TIME_OUT."""


class Aborted(HostError):
    """DID_ABORT: told to abort, or a CDB longer than the host can send."""


class TransportError(HostError):
    """The transport failed: DID_ERROR, DID_RESET, DID_PARITY, DID_TRANSPORT_DISRUPTED and their kin."""


class StatusError(CommandError):
    """A SCSI status other than GOOD that says enough by itself."""


class Busy(StatusError):
    """BUSY."""


class TaskSetFull(StatusError):
    """TASK SET FULL."""


class ReservationConflict(StatusError):
    """RESERVATION CONFLICT."""


class TaskAborted(StatusError):
    """TASK ABORTED."""


class SenseError(CommandError):
    """CHECK CONDITION with sense data."""


class NotReady(SenseError):
    """Sense key 2h."""


class MediumNotPresent(NotReady):
    """2/3A: no medium in a removable device."""


class MediumError(SenseError):
    """Sense key 3h."""


class HardwareError(SenseError):
    """Sense key 4h."""


class IllegalRequest(SenseError):
    """Sense key 5h."""


class InvalidOpcode(IllegalRequest):
    """5/20/00: the device does not know the operation code."""


class LbaOutOfRange(IllegalRequest):
    """5/21/00: a logical block address beyond the last one."""


class InvalidFieldInCdb(IllegalRequest):
    """5/24/00: the sense data's field pointer says which byte."""


class LogicalUnitNotSupported(IllegalRequest):
    """5/25/00: no logical unit answers at that LUN."""


class InvalidFieldInParameterList(IllegalRequest):
    """5/26/00."""


class UnitAttention(SenseError):
    """Sense key 6h: something happened since the last command; ask again."""


class DataProtect(SenseError):
    """Sense key 7h, write protection among others."""


class BlankCheck(SenseError):
    """Sense key 8h."""


class CopyAborted(SenseError):
    """Sense key Ah."""


class AbortedCommand(SenseError):
    """Sense key Bh."""


class Miscompare(SenseError):
    """Sense key Eh."""


_BY_HOST_BYTE: dict[int, type[HostError]] = {
    0x01: NoConnect,
    0x04: NoConnect,
    0x03: TimedOut,
    0x05: Aborted,
    0x02: TransportError,
    0x06: TransportError,
    0x07: TransportError,
    0x08: TransportError,
    0x09: TransportError,
    0x0B: TransportError,
    0x0E: TransportError,
    0x0F: TransportError,
    0x14: TransportError,
}

_BY_STATUS: dict[int, type[StatusError]] = {
    0x08: Busy,
    0x18: ReservationConflict,
    0x28: TaskSetFull,
    0x40: TaskAborted,
}

_BY_SENSE: dict[tuple[int, ...], type[SenseError]] = {
    (0x2,): NotReady,
    (0x2, 0x3A): MediumNotPresent,
    (0x3,): MediumError,
    (0x4,): HardwareError,
    (0x5,): IllegalRequest,
    (0x5, 0x20, 0x00): InvalidOpcode,
    (0x5, 0x21, 0x00): LbaOutOfRange,
    (0x5, 0x24, 0x00): InvalidFieldInCdb,
    (0x5, 0x25, 0x00): LogicalUnitNotSupported,
    (0x5, 0x26): InvalidFieldInParameterList,
    (0x6,): UnitAttention,
    (0x7,): DataProtect,
    (0x8,): BlankCheck,
    (0xA,): CopyAborted,
    (0xB,): AbortedCommand,
    (0xE,): Miscompare,
    **{(key,): SenseError for key in (0x0, 0x1, 0x9, 0xC, 0xD, 0xF)},
}
