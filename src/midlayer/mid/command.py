"""A SCSI command on its way down, and the result that comes back up."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Any, NamedTuple

from midlayer.errors import CommandError, NodeError
from midlayer.mid.nexus import LOCAL, Nexus
from midlayer.standards.opcodes import describe_cdb
from midlayer.standards.sam import Status
from midlayer.standards.sense import Sense

if TYPE_CHECKING:
    from midlayer.address import Address
    from midlayer.mid.clock import Timer
    from midlayer.mid.logical_unit import LogicalUnit

Buffer = bytes | bytearray | memoryview


class HostByte(IntEnum):
    """What the host adapter says of a command (the kernel's DID_ codes)."""

    DID_OK = 0x00
    DID_NO_CONNECT = 0x01
    DID_BUS_BUSY = 0x02
    DID_TIME_OUT = 0x03
    DID_BAD_TARGET = 0x04
    DID_ABORT = 0x05
    DID_PARITY = 0x06
    DID_ERROR = 0x07
    DID_RESET = 0x08
    DID_BAD_INTR = 0x09
    DID_PASSTHROUGH = 0x0A
    DID_SOFT_ERROR = 0x0B
    DID_IMM_RETRY = 0x0C
    DID_REQUEUE = 0x0D
    DID_TRANSPORT_DISRUPTED = 0x0E
    DID_TRANSPORT_FAILFAST = 0x0F
    DID_TARGET_FAILURE = 0x10
    DID_NEXUS_FAILURE = 0x11
    DID_ALLOC_FAILURE = 0x12
    DID_MEDIUM_ERROR = 0x13
    DID_TRANSPORT_MARGINAL = 0x14


class DriverByte(IntEnum):
    """What the driver adds; DRIVER_SENSE means that sense data is there."""

    DRIVER_OK = 0x00
    DRIVER_TIMEOUT = 0x06
    DRIVER_SENSE = 0x08


class Phase(IntEnum):
    """Where a command is. `midlayer.mid.dispatch` makes every change."""

    NEW = 0
    QUEUED = 1
    ISSUED = 2
    RETURNED = 3
    FINISHED = 4
    LOST = 5
    """Its time is over and the driver has not given it back: the error handler sees to it."""


class FailFast(IntFlag):
    """What a submitter wants no retry for (the kernel's ``REQ_FAILFAST_…``)."""

    NONE = 0
    DEVICE = 1
    TRANSPORT = 2
    DRIVER = 4


class Rare:
    """What few commands have; setting it in the constructor of `Command` would cost every command."""

    __slots__ = ("abort_tried", "failfast", "underflow")

    def __init__(self) -> None:
        self.underflow = 0
        self.failfast = FailFast.NONE
        self.abort_tried = False


_NOTHING_RARE = Rare()

_DID_OK = HostByte.DID_OK
_GOOD = Status.GOOD
_DONE = int(Status.GOOD), int(Status.CONDITION_MET)
_NEW = Phase.NEW


class Command:
    """One command for one logical unit: what the driver reads, and where it puts its answer.

    A driver reads `device`, `cdb`, `data_out`, `data_in`, `timeout_s`, and sets `status`, `host_byte`,
    `sense_data` and `residual` before it calls `done`. The other members are the mid level's.

    Attributes:
        device: The logical unit that the command is for.
        cdb: 6 to 260 bytes, LUN bits included where the device's SCSI level asks for them.
        data_out: Bytes for the device, or None. The driver must not keep it after `done`.
        data_in: Writable room for bytes from the device, or None. The caller owns it.
        timeout_s: Seconds from the moment that the driver has the command.
        allowed: How often the mid level may retry it; 0 for pass-through commands.
        passthrough: True for commands from `upper.sg`, which the mid level never retries for its status, nor
            for a time-out.
        at_head: True to go before all that wait for the device, if it has to wait.
        nexus: Where it came from; `LOCAL` unless a target front end took it from an initiator.
        borrows: True if the submitter sends `data_in` on and lets go of it: the driver may then put a view
            of its own memory there, of the same length, and copy nothing.
        status: SCSI status byte of the device.
        host_byte: `HostByte`; anything but DID_OK means that `status` is not the device's last word.
        sense_data: Raw sense bytes, empty without autosense.
        residual: Bytes of the buffer that were *not* transferred.
        retries: Tries after the first one.
        host_scribble: For the driver, as long as it has the command.
        error: Why the driver could not even try, if a device node was at fault; `dispatch.run` raises it.
    """

    __slots__ = (
        "_rare",
        "allowed",
        "at_head",
        "borrows",
        "cdb",
        "data_in",
        "data_out",
        "deadline_s",
        "device",
        "duration_s",
        "error",
        "host_byte",
        "host_scribble",
        "nexus",
        "on_finished",
        "passthrough",
        "phase",
        "residual",
        "retries",
        "sense_data",
        "started_s",
        "status",
        "timeout_s",
        "timer",
        "waiter",
    )

    started_s: float
    duration_s: float
    host_scribble: Any
    _rare: Rare

    def __init__(  # noqa: PLR0917 (keywords would cost the fast path)
        self,
        device: LogicalUnit,
        cdb: bytes,
        data_out: Buffer | None = None,
        data_in: memoryview | None = None,
        timeout_s: float = 60.0,
        allowed: int = 0,
        passthrough: bool = False,
        on_finished: Callable[[Command], None] | None = None,
    ) -> None:
        self.device = device
        self.cdb = cdb
        self.data_out = data_out
        self.data_in = data_in
        self.timeout_s = timeout_s
        self.allowed = allowed
        self.passthrough = passthrough
        self.on_finished = on_finished
        self.at_head = False
        self.borrows = False
        self.nexus: Nexus = LOCAL
        self.phase: Phase = _NEW
        self.status: int = _GOOD
        self.host_byte: int = _DID_OK
        self.sense_data = b""
        self.residual = 0
        self.retries = 0
        self.deadline_s: float | None = None
        self.timer: Timer | None = None
        self.error: NodeError | None = None
        self.waiter: Callable[[], object] | None = None

    def __str__(self) -> str:
        return f"{self.device.address} {describe_cdb(self.cdb)}"

    @property
    def rare(self) -> Rare:
        """What few commands have, to be set."""
        try:
            return self._rare
        except AttributeError:
            self._rare = Rare()
            return self._rare

    @property
    def underflow(self) -> int:
        """A GOOD command that moves fewer bytes than this ends with DID_ERROR instead."""
        return getattr(self, "_rare", _NOTHING_RARE).underflow

    @underflow.setter
    def underflow(self, count: int) -> None:
        self.rare.underflow = count

    @property
    def failfast(self) -> FailFast:
        """Kinds of trouble for which no retry is wanted."""
        return getattr(self, "_rare", _NOTHING_RARE).failfast

    @failfast.setter
    def failfast(self, kinds: FailFast) -> None:
        self.rare.failfast = kinds

    @property
    def abort_tried(self) -> bool:
        """True once `eh_abort_handler` was called, or is about to be; a command gets one such chance."""
        return getattr(self, "_rare", _NOTHING_RARE).abort_tried

    def clear_answer(self) -> None:
        """Forget the answer of an earlier try."""
        self.status = _GOOD
        self.host_byte = _DID_OK
        self.sense_data = b""
        self.residual = 0

    @property
    def requested_bytes(self) -> int:
        """Length of the data buffer, in either direction."""
        if self.data_in is not None:
            return len(self.data_in)
        return len(self.data_out) if self.data_out is not None else 0


class Result(NamedTuple):
    """What became of a command. A bad status is a value: nothing is raised unless you ask for it.

    Attributes:
        status: SCSI status byte (`midlayer.standards.sam.Status`).
        host_byte: What the host says; `HostByte.DID_OK` when the status is the device's own.
        driver_byte: DRIVER_SENSE when sense data is there.
        sense_data: The sense bytes exactly as they came.
        residual: Bytes of the buffer that were not transferred.
        duration_s: Seconds between the driver's taking the command and its completion.
        data_in: The caller's buffer; its first ``len(data_in) - residual`` bytes are from the device.
        address: Of the device.
        cdb: As it was sent.
    """

    status: int
    host_byte: int
    driver_byte: int
    sense_data: bytes
    residual: int
    duration_s: float
    data_in: Buffer | None
    address: Address
    cdb: bytes

    @property
    def ok(self) -> bool:
        """True when the device did what was asked: GOOD or CONDITION MET, or a recovered error."""
        if self.host_byte:
            return False
        if self.status in _DONE:
            return True
        sense = self.sense
        return self.status == Status.CHECK_CONDITION and sense is not None and sense.key in (0x0, 0x1)

    @property
    def sense(self) -> Sense | None:
        """The sense data, decoded; None if there is none."""
        return Sense.decode(self.sense_data) if self.sense_data else None

    @property
    def data(self) -> memoryview:
        """The bytes that came from the device, without a copy."""
        if self.data_in is None:
            return memoryview(b"")
        view = memoryview(self.data_in)
        return view[: max(0, len(view) - self.residual)]

    def raise_for_status(self) -> Result:
        """Return self, or raise the `CommandError` that fits.

        Raises:
            CommandError: The most specific class of `midlayer.errors` for this result.
        """
        if self.ok:
            return self
        raise CommandError.from_result(self)

    def __reduce__(self) -> tuple[type[Result], tuple[object, ...]]:
        """Pickle the data that came; a view of somebody's buffer can not be pickled itself."""
        view = self.data_in
        kept = bytes(view) if isinstance(view, memoryview) else view
        return Result, (*self[:6], kept, *self[7:])

    def __str__(self) -> str:
        return f"{self.address} {describe_cdb(self.cdb)}: {self.outcome}"

    @property
    def outcome(self) -> str:
        """What happened, without address and command: ``MEDIUM ERROR, unrecovered read error (3/11/00)``."""
        if self.host_byte:
            return _name(HostByte, self.host_byte)
        sense = self.sense
        if sense is not None:
            return str(sense)
        return _name(Status, self.status).replace("_", " ")


def _name(enum: type[IntEnum], value: int) -> str:
    try:
        return enum(value).name
    except ValueError:
        return f"{enum.__name__} {value:#04x}"
