"""A logical unit: what answers at one address (the kernel's ``scsi_device``)."""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from midlayer.address import Address
from midlayer.errors import DeviceGone, StateError
from midlayer.mid.quirks import Quirk
from midlayer.standards.spc import PeripheralDeviceType, PeripheralQualifier, StandardInquiry

if TYPE_CHECKING:
    from midlayer.mid.command import Command
    from midlayer.mid.host import Host
    from midlayer.mid.target import Target
    from midlayer.mid.way import QueueCommand

SCSI_UNKNOWN = 0
SCSI_2 = 3
SCSI_3 = 4
SCSI_SPC_2 = 5


EH_TIMEOUT_S = 10.0

decode_inquiry = lru_cache(64)(StandardInquiry.decode)
"""Units of one array often differ in their VPD pages alone."""


class QueueDepthHistory:
    """When a device said TASK SET FULL, and how its queue depth grew again (rules QD-2 to QD-4).

    Attributes:
        full_s: Time of the last TASK SET FULL that counted.
        full_depth: Queue depth that it was for.
        full_count: How many in a row were for this depth.
        ramp_up_s: Time of the last step upward.
        watched: True while the depth is to grow back.
    """

    __slots__ = ("full_count", "full_depth", "full_s", "ramp_up_s", "watched")

    def __init__(self) -> None:
        self.full_s = self.ramp_up_s = -math.inf
        self.full_depth = self.full_count = 0
        self.watched = False


class DeviceState(Enum):
    """State of a device; values are what sysfs ``state`` shows."""

    CREATED = "created"
    RUNNING = "running"
    CANCEL = "cancel"
    DELETED = "deleted"
    QUIESCE = "quiesce"
    OFFLINE = "offline"
    TRANSPORT_OFFLINE = "transport-offline"
    BLOCKED = "blocked"
    CREATED_BLOCKED = "created-blocked"


class Gate(Enum):
    """What a device's state means for a new command."""

    OPEN = auto()
    """It goes to the driver."""
    HELD = auto()
    """It waits in the queue."""
    CLOSED = auto()
    """It ends at once with DID_NO_CONNECT."""


_S = DeviceState

ALLOWED_FROM: dict[DeviceState, frozenset[DeviceState]] = {
    _S.CREATED: frozenset({_S.CREATED_BLOCKED}),
    _S.RUNNING: frozenset({_S.CREATED, _S.OFFLINE, _S.TRANSPORT_OFFLINE, _S.QUIESCE, _S.BLOCKED}),
    _S.QUIESCE: frozenset({_S.RUNNING, _S.OFFLINE, _S.TRANSPORT_OFFLINE}),
    _S.OFFLINE: frozenset({_S.CREATED, _S.RUNNING, _S.QUIESCE, _S.BLOCKED}),
    _S.TRANSPORT_OFFLINE: frozenset({_S.CREATED, _S.RUNNING, _S.QUIESCE, _S.BLOCKED}),
    _S.BLOCKED: frozenset({_S.RUNNING, _S.CREATED_BLOCKED, _S.QUIESCE, _S.OFFLINE}),
    _S.CREATED_BLOCKED: frozenset({_S.CREATED}),
    _S.CANCEL: frozenset({_S.CREATED, _S.RUNNING, _S.QUIESCE, _S.OFFLINE, _S.TRANSPORT_OFFLINE}),
    _S.DELETED: frozenset(
        {
            _S.CREATED,
            _S.RUNNING,
            _S.OFFLINE,
            _S.TRANSPORT_OFFLINE,
            _S.CANCEL,
            _S.BLOCKED,
            _S.CREATED_BLOCKED,
        }
    ),
}
"""For each state, those that it may be reached from. The same state again is no change and no error."""

GATES: dict[DeviceState, Gate] = {
    _S.CREATED: Gate.OPEN,
    _S.RUNNING: Gate.OPEN,
    _S.QUIESCE: Gate.HELD,
    _S.BLOCKED: Gate.HELD,
    _S.CREATED_BLOCKED: Gate.HELD,
    _S.OFFLINE: Gate.CLOSED,
    _S.TRANSPORT_OFFLINE: Gate.CLOSED,
    _S.CANCEL: Gate.CLOSED,
    _S.DELETED: Gate.CLOSED,
}


_NOT_ONLINE = frozenset({_S.OFFLINE, _S.TRANSPORT_OFFLINE, _S.DELETED})


class LogicalUnit:
    """One logical unit of a target. The mid level makes it, and owns it until its last reference is gone.

    Attributes:
        address: Host, channel, target and LUN.
        host: The host that it hangs on.
        target: The target that it belongs to.
        inquiry_data: Raw standard INQUIRY data; empty before the scan, or if it could not be read.
        inquiry_len: What a driver has set in `slave_alloc`: the length of the first INQUIRY, and the most
            that is asked of a device before SPC-4; 0 if it does not care (rule SC-4).
        vpd_pages: Raw VPD pages by page code, as cached by the scan.
        scsi_level: The kernel's numbering: 0 unknown, 3 SCSI-2, 4 and above SPC and later.
        queue_depth: Most commands that the driver gets at once.
        busy: Commands that the driver has now.
        held: Reasons not to send the driver new commands.
        blocked: True while it is left alone because its driver said DEVICE_BUSY, or it said BUSY.
        listed: True while its target has it among its logical units.
        aside: True while nothing of it may be issued, and its queue is kept apart from those of the host.
        queuecommand: What the mid level calls for a command; see `midlayer.mid.way`.
        detour: Not 0 while commands of it wait, or have to, or it is not listed; see `Host.detour`.
        tagged: True if more than one command at a time is meant to be in the device.
        use_10_for_rw: False once the device has refused a READ(10) or WRITE(10) as unknown.
        allow_restart: True to have the error handler start a unit that says that it needs START UNIT.
        eh_timeout_s: Seconds for each command that the error handler sends.
        was_reset: True after a reset that the mid level made or was told of.
        expecting_cc_ua: True from then on until the unit attention for it came, which means another try.
        medium_changed: True once a removable medium was changed; whoever looks sets it back.
        hostdata: For the driver.
        names: Device nodes by upper-level driver, such as ``{"sg": "sg3", "sd": "sda"}``.
        admitted: False while the subsystem's admission keeps upper-level drivers from it.
        session: What tells this session of the device from another at the same address, where the
            driver knows it; empty otherwise.
    """

    __slots__ = (
        "__weakref__",
        "_references",
        "address",
        "admitted",
        "allow_restart",
        "aside",
        "blocked",
        "busy",
        "detour",
        "eh_timeout_s",
        "expecting_cc_ua",
        "flags",
        "gate",
        "held",
        "host",
        "hostdata",
        "inquiry_data",
        "inquiry_len",
        "listed",
        "lun_in_cdb",
        "max_queue_depth",
        "medium_changed",
        "names",
        "queue",
        "queue_depth",
        "queue_depth_history",
        "queuecommand",
        "scsi_level",
        "session",
        "standard_inquiry",
        "state",
        "tagged",
        "target",
        "type",
        "upper",
        "use_10_for_rw",
        "vpd_pages",
        "was_reset",
    )

    def __init__(self, target: Target, lun: int) -> None:
        host = target.host
        self.host: Host = host
        self.target = target
        self.address: Address = Address(host.host_no, target.channel, target.id, lun)
        self.state = DeviceState.CREATED
        self.gate = Gate.OPEN
        self.queue_depth = self.max_queue_depth = host.cmd_per_lun or 1
        self.busy = self.held = 0
        self.blocked = self.aside = self.listed = False
        self.detour = 1
        self.allow_restart = False
        self.use_10_for_rw = True
        self.expecting_cc_ua = self.was_reset = False
        self.medium_changed = False
        self.eh_timeout_s = EH_TIMEOUT_S
        self.tagged = False
        self.queue_depth_history = QueueDepthHistory()
        self.queue: deque[Command] = deque()
        self.take_level(target.scsi_level)
        self.flags = 0
        self.inquiry_data = b""
        self.inquiry_len = 0
        self.standard_inquiry = _NO_INQUIRY
        self.type: int = PeripheralDeviceType.UNKNOWN_OR_NO_DEVICE
        self.vpd_pages: dict[int, bytes] = {}
        self.hostdata: Any = None
        self.names: dict[str, str] = {}
        self.session = ""
        self.admitted = True
        self.upper: list[Any] = []
        self._references = 1
        self.queuecommand: QueueCommand = host.way.to(self)

    def __repr__(self) -> str:
        return f"<LogicalUnit {self.address} {self.vendor} {self.model} {self.state.value}>"

    @property
    def vendor(self) -> str:
        """T10 vendor identification, without the padding."""
        return self.standard_inquiry.vendor

    @property
    def model(self) -> str:
        """Product identification, without the padding."""
        return self.standard_inquiry.product

    @property
    def revision(self) -> str:
        """Product revision level, without the padding."""
        return self.standard_inquiry.revision

    @property
    def peripheral_qualifier(self) -> int:
        """Peripheral qualifier, 0 to 7 (`midlayer.standards.spc.PeripheralQualifier`)."""
        return self.standard_inquiry.peripheral_qualifier

    @property
    def removable(self) -> bool:
        """The RMB bit of the INQUIRY data, or a quirk that says so."""
        return self.standard_inquiry.rmb or bool(self.flags & Quirk.ISROM)

    @property
    def accessible(self) -> bool:
        """True for qualifier 000b: upper-level drivers other than sg bind only to such a device.

        The quirk NO_ULD_ATTACH keeps them away as well.
        """
        connected = self.peripheral_qualifier == PeripheralQualifier.CONNECTED
        return connected and not self.flags & Quirk.NO_ULD_ATTACH

    @property
    def online(self) -> bool:
        """False once the device was taken offline, or is removed."""
        return self.state not in _NOT_ONLINE

    @property
    def references(self) -> int:
        """References now held; more than one means that somebody uses the device."""
        return self._references

    def set_inquiry(self, data: bytes) -> None:
        """Take over standard INQUIRY data, and what follows from it (rules SC-7, SC-8)."""
        inquiry = decode_inquiry(data)
        self.inquiry_data = data
        self.standard_inquiry = inquiry
        self.type = inquiry.peripheral_device_type
        self.take_level(_scsi_level(data))

    def take_level(self, level: int) -> None:
        """Set the SCSI level: of the target before the INQUIRY, the device's own after it (rule SC-8)."""
        self.scsi_level = level
        self.lun_in_cdb = SCSI_UNKNOWN != level <= SCSI_2 and not self.host.no_scsi2_lun_in_cdb

    def set_state(self, state: DeviceState) -> None:
        """Change state by the table.

        Raises:
            StateError: If the table does not have the change.
        """
        if state is self.state:
            return
        if self.state not in ALLOWED_FROM[state]:
            raise StateError(f"{self.address}: no way from state {self.state.value} to {state.value}")
        self.state = state
        self.gate = GATES[state]

    def get(self) -> LogicalUnit:
        """Take a reference.

        Raises:
            DeviceGone: If removal has begun.
        """
        with self.host.lock:
            if self.state in (DeviceState.CANCEL, DeviceState.DELETED):
                raise DeviceGone(f"{self.address}: the device is being removed")
            self._references += 1
        return self

    def put(self) -> None:
        """Give a reference back; the device is freed with the last one."""
        with self.host.lock:
            if self._references <= 0:
                raise StateError(f"{self.address}: put without get")
            self._references -= 1
            freed = self._references == 0
        if freed:
            self.target.device_freed(self)


def _scsi_level(data: bytes) -> int:
    if len(data) < 3:
        return SCSI_UNKNOWN
    level = data[2] & 0x0F
    response_format = data[3] & 0x0F if len(data) > 3 else 0
    return level + 1 if level >= 2 or (level == 1 and response_format == 1) else level


_NO_INQUIRY = StandardInquiry(
    peripheral_qualifier=PeripheralQualifier.CONNECTED,
    peripheral_device_type=PeripheralDeviceType.UNKNOWN_OR_NO_DEVICE,
)
