"""A lower-level driver whose devices answer what a test wrote down.

::

    driver = ScriptedDriver()
    disk = driver.unit(0, 0, 0)
    disk.on(0x00, Answer(status=0x08), Answer())          # TEST UNIT READY: BUSY once, then GOOD
    disk.on(0x28, Answer(later=True))                     # READ(10): when the test says so
    driver.handle("device_reset", FAILED, SUCCESS)        # fails once; without this there is no handler
    host = driver.start(Subsystem(clock=FakeClock()))     # allocate, add and scan a host
    ...
    driver.pending[0].complete()

An operation code without a script gets what a well-behaved disk says. `calls` has the driver's callbacks
in the order in which the mid level made them, `commands` every command that arrived.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from midlayer.address import Address
from midlayer.mid.command import Command, HostByte
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.recovery_callbacks import SUCCESS
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.target import Target
from midlayer.standards.sense import SenseKey, fixed_sense
from midlayer.standards.spc import StandardInquiry, encode_lun_list

INQUIRY, REPORT_LUNS = 0x12, 0xA0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a scripted device says to one command.

    Attributes:
        status: SCSI status byte; 02h by itself if there is sense data.
        host_byte: A `HostByte`.
        sense: Sense data.
        data: Bytes for the initiator, cut at its buffer.
        residual: What the driver reports; None for the truth.
        busy: What `queuecommand` returns, instead of taking the command; 0 to take it.
        later: True to keep the command in `ScriptedDriver.pending` until the test completes it.
        raises: Raised in `queuecommand`.
    """

    status: int = 0
    host_byte: int = 0
    sense: bytes = b""
    data: bytes = b""
    residual: int | None = None
    busy: int = 0
    later: bool = False
    raises: BaseException | None = None

    @classmethod
    def check(cls, key: int, asc: int = 0, ascq: int = 0) -> Answer:
        """Return CHECK CONDITION with fixed format sense data."""
        return cls(sense=fixed_sense(key, asc, ascq))


Script = Callable[[Command], Answer]


def inquiry_data(
    *, qualifier: int = 0, device_type: int = 0, version: int = 6, length: int = 36, vendor: str = "SCRIPTED"
) -> bytes:
    """Return standard INQUIRY data of `length` bytes, 36 or more."""
    return StandardInquiry(
        peripheral_qualifier=qualifier,
        peripheral_device_type=device_type,
        version=version,
        response_data_format=min(version, 2),
        additional_length=length - 5,
        t10_vendor_identification=vendor,
        product_identification="Scripted disk",
        product_revision_level="1",
    ).encode_sized()


@dataclass(slots=True)
class ScriptedUnit:
    """One scripted device.

    Attributes:
        inquiry: Standard INQUIRY data, where no script has another answer.
        scripts: By operation code; None stands for every code that has no script of its own.
    """

    inquiry: bytes = field(default_factory=inquiry_data)
    scripts: dict[int | None, Script] = field(default_factory=dict)

    def on(self, opcode: int | None, *answers: Answer | Script) -> None:
        """Answer the commands with an operation code in this order, and the last way for ever after."""
        left = deque(answers)

        def script(command: Command) -> Answer:
            answer = left.popleft() if len(left) > 1 else left[0]
            return answer if isinstance(answer, Answer) else answer(command)

        self.scripts[opcode] = script


@dataclass(eq=False, slots=True)
class Pending:
    """A command that the driver has, and the test completes, from any thread."""

    command: Command
    done: Callable[[Command], None]
    driver: ScriptedDriver

    def complete(self, answer: Answer | None = None) -> None:
        """Answer, GOOD if nothing else is given. A second time breaks the driver's contract, on purpose."""
        self.driver.forget(self)
        _fill(self.command, answer or Answer())
        self.done(self.command)


class ScriptedDriver(HostTemplate):
    """A host with scripted devices; see the module.

    Attributes:
        units: Devices by (channel, target, LUN).
        calls: Callbacks as text, such as ``slave_alloc 0:0:1:0``.
        commands: (address, CDB) of each command, refused ones included.
        pending: Commands that wait for the test.
        refusals: Errno by name of a callback, to be returned.
        raising: Names of callbacks that raise.
        hook: Called with the name and the subject of each callback.
    """

    name = "scripted host"
    proc_name = "scripted"
    can_queue = 8
    cmd_per_lun = 4
    max_cmd_len = 32

    def __init__(self) -> None:
        self.units: dict[tuple[int, int, int], ScriptedUnit] = {}
        self.calls: list[str] = []
        self.commands: list[tuple[Address, bytes]] = []
        self.pending: list[Pending] = []
        self.refusals: dict[str, int] = {}
        self.raising: set[str] = set()
        self.hook: Callable[[str, object], None] = lambda name, subject: None
        self._lock = threading.Lock()

    def unit(self, channel: int, target: int, lun: int, inquiry: bytes | None = None) -> ScriptedUnit:
        """Put a device at an address, in the place of one that was there."""
        unit = self.units[channel, target, lun] = ScriptedUnit(
            inquiry if inquiry is not None else inquiry_data()
        )
        return unit

    def handle(self, name: str, *outcomes: object) -> None:
        """Give the driver a callback of the error handler that it does not have without.

        Args:
            name: Such as ``abort``, ``device_reset``, ``host_reset``: the middle of ``eh_…_handler``, or
                the whole name of a callback that takes a command.
            outcomes: What it gives, in this order, and the last for ever after: a value, an exception to be
                raised, or a function of the command. Without any: SUCCESS.
        """
        full = name if name.startswith("eh_") else f"eh_{name}_handler"
        left = deque(outcomes or (SUCCESS,))

        def callback(command: Command) -> object:
            self._called(full, command, str(command.device.address))
            outcome = left.popleft() if len(left) > 1 else left[0]
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome(command) if callable(outcome) else outcome

        setattr(self, full, callback)

    def start(self, subsystem: Subsystem, *, scan: bool = True) -> Host:
        """Allocate a host, add it and scan it."""
        host = subsystem.host_alloc(self)
        subsystem.add_host(host)
        if scan:
            subsystem.scan_host(host)
        return host

    def forget(self, pending: Pending) -> None:
        """Take a command out of `pending`."""
        with self._lock:
            if pending in self.pending:
                self.pending.remove(pending)

    # What the mid level calls; see `HostTemplate`.

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        answer = self._answer(command)
        with self._lock:
            self.commands.append((command.device.address, command.cdb))
            if answer.later and not answer.busy:
                self.pending.append(Pending(command, done, self))
        if answer.raises is not None:
            raise answer.raises
        if answer.busy or answer.later:
            return answer.busy
        _fill(command, answer)
        done(command)
        return 0

    def slave_alloc(self, device: LogicalUnit) -> int:
        return self._called("slave_alloc", device, str(device.address))

    def slave_configure(self, device: LogicalUnit) -> int:
        return self._called("slave_configure", device, str(device.address))

    def slave_destroy(self, device: LogicalUnit) -> None:
        self._called("slave_destroy", device, str(device.address))

    def target_alloc(self, target: Target) -> int:
        return self._called("target_alloc", target, f"{target.host.host_no}:{target.channel}:{target.id}")

    def target_destroy(self, target: Target) -> None:
        self._called("target_destroy", target, f"{target.host.host_no}:{target.channel}:{target.id}")

    def release(self, host: Host) -> None:
        self._called("release", host, str(host.host_no))

    def _called(self, name: str, subject: object, place: str) -> int:
        with self._lock:
            self.calls.append(f"{name} {place}")
        self.hook(name, subject)
        if name in self.raising:
            raise RuntimeError(f"{name} raises, as the test asked")
        return self.refusals.get(name, 0)

    def _answer(self, command: Command) -> Answer:
        _, channel, target, lun = command.device.address
        unit = self.units.get((channel, target, lun))
        if unit is None:
            return Answer(host_byte=HostByte.DID_NO_CONNECT)
        opcode = command.cdb[0]
        script = unit.scripts.get(opcode) or unit.scripts.get(None)
        if script is not None:
            return script(command)
        if opcode == INQUIRY:
            # No VPD pages: INVALID FIELD IN CDB.
            vpd = command.cdb[1] & 1
            return Answer.check(SenseKey.ILLEGAL_REQUEST, 0x24) if vpd else Answer(data=unit.inquiry)
        if opcode == REPORT_LUNS:
            places = sorted(self.units)
            return Answer(data=encode_lun_list(at[2] for at in places if at[:2] == (channel, target)))
        return Answer()


def _fill(command: Command, answer: Answer) -> None:
    buffer = command.data_in
    count = min(len(answer.data), len(buffer)) if buffer is not None else 0
    if buffer is not None:
        buffer[:count] = answer.data[:count]
    moved = count if buffer is not None or answer.sense else command.requested_bytes
    command.status = answer.status or (0x02 if answer.sense else 0)
    command.host_byte = answer.host_byte
    command.sense_data = answer.sense
    command.residual = command.requested_bytes - moved if answer.residual is None else answer.residual
