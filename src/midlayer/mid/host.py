"""A host: one initiator port, as a lower-level driver presents it (the kernel's ``Scsi_Host``)."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from midlayer.errors import DeviceGone, DriverError, StateError
from midlayer.mid.callbacks import demand
from midlayer.mid.dispatch import run_queues
from midlayer.mid.error_handler import ErrorHandler
from midlayer.mid.host_state import ALLOWED_TO, HostState
from midlayer.mid.logical_unit import Gate, LogicalUnit
from midlayer.mid.recovery_callbacks import provides
from midlayer.mid.way import Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from midlayer.mid.command import Command
    from midlayer.mid.events import UpperDriver
    from midlayer.mid.host_template import HostTemplate
    from midlayer.mid.subsystem import Subsystem
    from midlayer.mid.target import Target
    from midlayer.mid.way import QueueCommand


__all__ = ["ALLOWED_TO", "Host", "HostState"]

_log = logging.getLogger("midlayer.subsystem")

_REMOVAL_BEGUN = frozenset(
    {HostState.CANCEL, HostState.CANCEL_RECOVERY, HostState.DEL, HostState.DEL_RECOVERY}
)


class Host:
    """One host. Made by `Subsystem.host_alloc`, and freed with its last reference.

    Attributes:
        host_no: Number of the host, unique in the subsystem while the host exists.
        template: The driver.
        hostdata: For the driver.
        can_queue, cmd_per_lun, this_id, sg_tablesize, max_sectors, max_cmd_len, max_channel, max_id,
            max_lun, emulated, no_scsi2_lun_in_cdb, transportt, vendor_id: Copies of the template's members,
            which a driver may change before `add_host`.
        busy: Commands that the driver has now.
        upper: Upper-level drivers that have heard of the host, in order.
        unique_id: For the driver, to tell several hosts of one type apart.
        scan_mutex: Held while devices of the host are looked for, added or removed.
        lock: Guards the counters and queues; held for moments, never while a driver is called.
        unexpected_done: Times that the driver called `done` on a command that it did not have.
        late_done: Times that `done` came while the error handler saw to the command.
        eh_deadline, eh_scope: Copies of the template's members, which may change at any time.
        async_scan: True while an asynchronous scan has not announced what it found.
        self_blocked: True from `block_requests` to `unblock_requests`.
        released: True once the driver's `release` was called.
        error_handler: What recovers the host's commands.
        way: Leads commands to the driver, by what covers it.
        held: Reasons not to send the driver new commands: a recovery, a reset, `block_requests`.
        blocked: True while the driver is left alone because it said HOST_BUSY.
        watched: Reasons to look at commands that end in GOOD: a queue depth to ramp up, a flag to clear.
        waiting: Commands in the queues of its devices.
        detour: `held`, `blocked`, `watched`, and the commands that wait for devices which are not set
            aside; while this and the device's own `detour` are 0, a command takes the fast path.
    """

    __slots__ = (  # the fast path reads a dozen of them for each command
        "__weakref__", "_queues", "_references", "async_scan", "blocked", "busy", "can_queue",
        "clock", "cmd_per_lun", "detour", "eh_deadline", "eh_scope", "emulated", "error_handler",
        "held", "host_no", "hostdata", "late_done", "lock", "max_channel", "max_cmd_len",
        "max_host_blocked", "max_id", "max_lun", "max_sectors", "monotonic", "name",
        "no_scsi2_lun_in_cdb", "poll", "poll_batch", "proc_name", "released", "runners", "scan_mutex",
        "self_blocked", "session", "sg_tablesize", "state", "subsystem", "targets", "template",
        "this_id", "transportt", "unexpected_done", "unique_id", "upper", "vendor_id", "waiting", "watched",
        "way",
    )  # fmt: skip

    def __init__(self, subsystem: Subsystem, template: HostTemplate, host_no: int) -> None:
        self.subsystem = subsystem
        self.template = template
        self.host_no = host_no
        self.name = template.name
        self.proc_name = template.proc_name
        self.can_queue = template.can_queue
        self.cmd_per_lun = template.cmd_per_lun
        self.this_id = template.this_id
        self.sg_tablesize = template.sg_tablesize
        self.max_sectors = template.max_sectors or 1024
        self.max_cmd_len = template.max_cmd_len
        self.max_channel = template.max_channel
        self.max_id = template.max_id
        self.max_lun = template.max_lun
        self.emulated = template.emulated
        self.no_scsi2_lun_in_cdb = template.no_scsi2_lun_in_cdb
        self.max_host_blocked = template.max_host_blocked
        self.eh_deadline: float = template.eh_deadline
        self.eh_scope = template.eh_scope
        self.unique_id = 0
        self.transportt = template.transportt
        self.vendor_id = template.vendor_id
        self.hostdata: Any = None
        self.session = ""
        self.clock = subsystem.clock
        self.monotonic: Callable[[], float] = subsystem.clock.monotonic
        self.poll = template.poll if provides(template, "poll") else None
        self.poll_batch = template.poll_batch if provides(template, "poll_batch") else None
        self.lock = threading.Lock()
        self.scan_mutex = threading.RLock()
        self.state = HostState.CREATED
        self.targets: dict[tuple[int, int], Target] = {}
        self.upper: list[UpperDriver] = []
        self.busy = 0
        self.blocked = False
        self.waiting = self.held = self.watched = self.detour = 0
        self.runners: set[int] = set()
        self.unexpected_done = self.late_done = 0
        self.async_scan = self.released = self.self_blocked = False
        self._queues: deque[LogicalUnit] = deque()  # those with a queue, not set aside, next one first
        self._references = 1
        self.way = Way(self, template.queuecommand)
        self.error_handler = ErrorHandler(self)

    def __repr__(self) -> str:
        return f"<Host {self.host_no} {self.name} {self.state.value}>"

    @property
    def info(self) -> str:
        """One line from the driver about this host; its name, if it can not say it."""
        try:
            said: object = demand(self, self.template.info, self)
        except DriverError as error:
            _log.error("%s", error)
            return self.name
        return said if isinstance(said, str) else self.name

    @property
    def queuecommand(self) -> QueueCommand:
        """The driver's, or what was put in its place; what the mid level calls is the device's own."""
        return self.way.driver

    @queuecommand.setter
    def queuecommand(self, driver: QueueCommand) -> None:
        self.way.replace_driver(driver)

    @property
    def references(self) -> int:
        """References now held."""
        return self._references

    def devices(self) -> list[LogicalUnit]:
        """Return the devices that are there now, in order of channel, target and LUN."""
        with self.lock:
            found = [device for target in self.targets.values() for device in target.logical_units.values()]
        return sorted(found, key=_by_address)

    def set_state(self, state: HostState) -> None:
        """Change state by the table.

        Raises:
            StateError: If the table does not have the change.
        """
        if state is self.state:
            return
        if state not in ALLOWED_TO[self.state]:
            raise StateError(f"host {self.host_no}: no way from state {self.state.value} to {state.value}")
        self.state = state

    def advance(self, table: Mapping[HostState, HostState]) -> bool:
        """Change to the state that a table has for the present one; False if it has none."""
        with self.lock:
            following = table.get(self.state)
            if following is not None:
                self.set_state(following)
        return following is not None

    def get(self) -> Host:
        """Take a reference.

        Raises:
            DeviceGone: If removal has begun.
        """
        with self.lock:
            if self.state in _REMOVAL_BEGUN:
                raise DeviceGone(f"host {self.host_no}: the host is being removed")
            self._references += 1
        return self

    def hold(self) -> None:
        """Take a reference for a device of the host, which lives no longer than its host."""
        with self.lock:
            self._references += 1

    def put(self) -> None:
        """Give a reference back; the host is freed with the last one."""
        with self.lock:
            if self._references <= 0:
                raise StateError(f"host {self.host_no}: put without get")
            self._references -= 1
            freed = self._references == 0
        if freed:
            self.subsystem.host_freed(self)

    def run_queues(self) -> None:
        """Issue queued commands as long as there is room."""
        run_queues(self)

    # What follows is the queue of the host. The caller holds `lock`.

    def hold_back(self, what: Host | Target | LogicalUnit, by: int = 1) -> None:
        """Send the driver nothing new for the host, a target or a device; -1 takes one hold back.

        The caller holds `lock`.
        """
        what.held += by
        self._close(what, by)

    def block(self, what: Host | Target | LogicalUnit) -> None:
        """Leave the host, a target or a device alone for a while. The caller holds `lock`."""
        if not what.blocked:
            what.blocked = True
            self._close(what, 1)

    def unblock(self, device: LogicalUnit) -> None:
        """Ask again: a command of `device` came back, or the while is over. The caller holds `lock`."""
        for what in (device, device.target, self):
            if what.blocked:
                what.blocked = False
                self._close(what, -1)

    def set_aside(self, device: LogicalUnit) -> None:
        """Keep the queue of a device apart while nothing of it may be issued, so that others do not meet it.

        To be called whenever an answer may have changed. The caller holds `lock`.
        """
        target = device.target
        aside = device.listed and bool(device.held or target.held or device.blocked or target.blocked)
        if aside is not device.aside:
            device.aside = aside
            if device.queue:
                self.detour += -len(device.queue) if aside else len(device.queue)
                if aside:
                    self._queues.remove(device)
                else:
                    self._queues.append(device)
        device.detour = len(device.queue) + (aside or not device.listed)

    def watch(self, by: int = 1) -> None:
        """Look at commands that end in GOOD; -1 takes one reason back. The caller holds `lock`."""
        self.watched += by
        self.detour += by

    def holds(self, device: LogicalUnit) -> bool:
        """Return whether a recovery or a reset keeps new commands for `device` back.

        The caller holds `lock`.
        """
        return bool(self.held or device.held or device.target.held)

    def is_open(self, device: LogicalUnit) -> bool:
        """Return whether nobody keeps commands for `device` back. The caller holds `lock`."""
        return not (self.holds(device) or self.blocked or device.blocked or device.target.blocked)

    def enqueue(self, command: Command, *, first: bool = False) -> None:
        """Keep a command until there is room. The caller holds `lock`."""
        device = command.device
        if not (device.queue or device.aside):
            self._queues.append(device)
        if first:
            device.queue.appendleft(command)
        else:
            device.queue.append(command)
        self._count(device, 1)

    def next_ready(self) -> Command | None:
        """Take a command that may be issued now, devices in turn, and count it as busy.

        The caller holds `lock`.
        """
        if self.blocked or self.held or self.busy >= self.can_queue:
            return None
        for device in self._rotated():
            full = device.busy >= device.queue_depth
            if full or device.gate is not Gate.OPEN or not self.is_open(device):
                self._queues.append(device)
                continue
            command = device.queue.popleft()
            if device.queue:
                self._queues.append(device)
            self._count(device, -1)
            self.busy += 1
            device.busy += 1
            return command
        return None

    def drain(self, device: LogicalUnit) -> list[Command]:
        """Take all commands that wait for `device`. The caller holds `lock`."""
        commands = list(device.queue)
        if commands:
            device.queue.clear()
            if not device.aside:
                self._queues.remove(device)
            self._count(device, -len(commands))
        return commands

    def withdraw(self, command: Command) -> bool:
        """Take one command out of its queue; False if it does not wait. The caller holds `lock`."""
        queue = command.device.queue
        if command not in queue:
            return False
        queue.remove(command)
        if not (queue or command.device.aside):
            self._queues.remove(command.device)
        self._count(command.device, -1)
        return True

    def _close(self, what: Host | Target | LogicalUnit, by: int) -> None:
        if isinstance(what, LogicalUnit):
            self.set_aside(what)
        elif isinstance(what, Host):
            self.detour += by
        else:
            for device in what.units():
                self.set_aside(device)

    def _count(self, device: LogicalUnit, by: int) -> None:
        self.waiting += by
        device.detour += by
        if not device.aside:
            self.detour += by

    def _rotated(self) -> Iterator[LogicalUnit]:
        for _ in range(len(self._queues)):
            yield self._queues.popleft()


def _by_address(device: LogicalUnit) -> tuple[int, ...]:
    return device.address
