"""Two disks that misbehave alike: Linux's scsi_debug by its debugfs files, a virtual one by our faults."""

from __future__ import annotations

import errno
import mmap
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import midlayer
from midlayer.device import Device
from midlayer.lower.filters import Filter, add_fault, filters_of
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.command import Command, HostByte, Phase, Result
from midlayer.mid.dispatch import submit
from midlayer.mid.recovery_step import Action
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sam import Status
from midlayer.standards.sense import Sense, SenseKey
from midlayer.testing import FakeClock

from .eventually import eventually
from .nodes import block_node, ready_node
from .scsi_debug import ScsiDebug

DEBUGFS = Path("/sys/kernel/debug")
TIMEOUT_S = 1.0
RETRIES = 1
BLOCK = 512
MANY = 10
"""Where tries are limited by time alone, how many there are tells of the machine."""

_LOGS_RESETS = 0x2000
_RESET = re.compile(r"scsi_debug_(abort|device_reset|target_reset|bus_reset|host_reset)\b")
_STEPS = {Action.ABORT, Action.DEVICE_RESET, Action.TARGET_RESET, Action.BUS_RESET, Action.HOST_RESET}

Sent = tuple[bytes, dict[str, Any]]


class Seen(NamedTuple):
    """What can be told of a series of commands from outside.

    Attributes:
        outcomes: Of each command: status, host byte, sense, residual; or an errno of the block layer.
        dispatched: Times that the driver was given a READ or WRITE, and took it; at most `MANY`.
        steps: What the driver was asked to do for the error handler, in order.
        state: Of the device, in the end.
    """

    outcomes: tuple[object, ...]
    dispatched: int
    steps: tuple[str, ...]
    state: str


class KernelDisk:
    """One scsi_debug disk, its nodes and its debugfs file."""

    def __init__(self, debug: ScsiDebug) -> None:
        self._debug = debug
        self.met_others = False
        (self.device,) = eventually(debug.devices)
        path = ready_node(self.device)
        self.block = block_node(self.device)
        if not (DEBUGFS / "scsi_debug").exists():
            subprocess.run(["mount", "-t", "debugfs", "none", str(DEBUGFS)], check=True)
        self.errors = DEBUGFS / "scsi_debug" / self.device.name / "error"
        self._fail_reset = DEBUGFS / "scsi_debug" / f"target{self.device.name[:-2]}" / "fail_reset"
        (self._scsi_disk,) = (self.device / "scsi_disk").iterdir()
        self._host = next(Path("/sys/class/scsi_host").glob(f"host{self.device.name.split(':')[0]}"))
        self.opened: Device = midlayer.open_device(path)
        self._log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        debug.set("opts", _LOGS_RESETS)
        self._trace = _Trace(int(self.device.name.split(":")[0]))
        (self.device / "eh_timeout").write_text("1")
        (self.device / "timeout").write_text("1")
        (self._scsi_disk / "max_retries").write_text(str(RETRIES))
        # sd itself gives up a disk that goes on timing out and yet says it is ready; there is no sd here.
        (self._scsi_disk / "max_medium_access_timeouts").write_text("100000")
        self.recover()

    def close(self) -> None:
        os.close(self._log)
        self.opened.close()

    def put(self, rules: Iterable[str], *, fail_reset: bool = False, eh_deadline: int | None = None) -> None:
        """Put errors in force, and look from now on."""
        os.lseek(self._log, 0, os.SEEK_END)
        self._trace.clear()
        self._fail_reset.write_text("Y" if fail_reset else "N")
        (self._host / "eh_deadline").write_text("off" if eh_deadline is None else str(eh_deadline))
        for rule in rules:
            self.errors.write_text(rule)

    def recover(self) -> None:
        """Take all errors away, and let the device tell the unit attentions that it has left."""
        for line in self.errors.read_text().splitlines()[1:]:
            kind, _, opcode = line.split()[:3]
            try:
                self.errors.write_text(f"- {kind} {opcode}")
            except OSError:  # seen for TEST UNIT READY
                zeros = " 0" * {"1": 1, "2": 6}.get(kind, 0)
                self.errors.write_text(f"{kind} 0 {opcode}{zeros}")
        self._fail_reset.write_text("N")
        if self.state != "running":
            (self.device / "state").write_text("running\n")
        eventually(lambda: self.opened.execute(bytes(6)).ok, reason="unit attentions to be told")

    @property
    def state(self) -> str:
        return (self.device / "state").read_text().strip()

    def play(self, sent: Iterable[Sent]) -> Seen:
        """Send commands through sg."""
        return self._watched(
            lambda: tuple(seen(self.opened.execute(cdb, timeout_s=TIMEOUT_S, **data)) for cdb, data in sent)
        )

    def read_blocks(self, count: int) -> Seen:
        """Read one block through sd and the block layer, past the page cache, some times."""
        return self._watched(lambda: tuple(_read_error(self.block) for _ in range(count)))

    def _watched(self, send: Callable[[], tuple[object, ...]]) -> Seen:
        outcomes = send()
        self.met_others = self._trace.met_others()
        return Seen(outcomes, min(self._trace.dispatched(), MANY), tuple(self._resets()), self.state)

    def _resets(self) -> Iterable[str]:
        while True:
            try:
                record = os.read(self._log, 8192).decode(errors="replace")
            except BlockingIOError:
                return
            text = record.partition(";")[2].partition("\n")[0]
            found = _RESET.search(text)
            if found and "device(s) found" not in text:  # a second line for the same reset
                yield found[1].replace("_", " ")


class _Trace:
    """The kernel's trace of the READs and WRITEs of the series that it gives the driver of one host.

    What others send to the disk meanwhile, for instance because it says that it was reset, does not count.
    """

    _OURS = "08 00 00 08 01 00|2[8a] 00 00 00 00 08 00 00 01 00"
    _ANY = re.compile(r"scsi_dispatch_cmd_start: .* raw=(?:08|28|2a) ")
    _LINE = re.compile(rf"scsi_dispatch_cmd_(start|error): .* raw=(?:{_OURS})")

    def __init__(self, host_no: int) -> None:
        tracing = Path("/sys/kernel/tracing")
        if not (tracing / "instances").exists():
            subprocess.run(["mount", "-t", "tracefs", "none", str(tracing)], check=True)
        self._place = tracing / "instances" / "midlayer"
        self._place.mkdir(exist_ok=True)
        for name in ("scsi_dispatch_cmd_start", "scsi_dispatch_cmd_error"):
            (self._place / "events/scsi" / name / "filter").write_text(f"host_no == {host_no}")
            (self._place / "events/scsi" / name / "enable").write_text("1")

    def clear(self) -> None:
        (self._place / "trace").write_text("")

    def met_others(self) -> bool:
        """Return whether somebody else has read or written, and may have met a fault that was not for him."""
        text = (self._place / "trace").read_text()
        ours = [found[1] for found in self._LINE.finditer(text)].count("start")
        return len(self._ANY.findall(text)) != ours

    def dispatched(self) -> int:
        """Return how many the driver got since `clear`, and took."""
        kinds = [found[1] for found in self._LINE.finditer((self._place / "trace").read_text())]
        return kinds.count("start") - kinds.count("error")


class OurDisk:
    """A virtual disk of the same size on a clock that goes on as soon as somebody waits."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        subsystem = Subsystem(clock=self.clock)
        self.host = VirtualDriver(subsystem).add_host(HostSpec(units=(UnitSpec(size=8 << 20),)))
        (self.device,) = self.host.devices()
        self.device.eh_timeout_s = 1.0
        self._counter = _Counter()
        self._filters = filters_of(subsystem)
        while self._run(bytes(6)).status:  # what a new unit has to tell
            pass

    def put(self, rules: Iterable[dict[str, Any]], *, eh_deadline: int | None = None) -> None:
        """Put faults in force, and see them from outside."""
        for rule in rules:
            add_fault(self.device, **rule)
        self.host.eh_deadline = -1 if eh_deadline is None else eh_deadline
        self._filters.add(self._counter)

    def play(self, sent: Iterable[Sent]) -> Seen:
        """Send commands as sg does."""
        return self._watched(tuple(seen(self._run(cdb, **data)) for cdb, data in sent))

    def read_blocks(self, cdb: bytes, count: int) -> Seen:
        """Send a READ as somebody who has it retried."""
        results = [self._run(cdb, data_in=BLOCK, allowed=RETRIES) for _ in range(count)]
        return self._watched(tuple(block_layer_error(result) for result in results))

    def _watched(self, outcomes: tuple[object, ...]) -> Seen:
        steps = [str(step.action) for step in self.host.error_handler.recent if step.action in _STEPS]
        return Seen(outcomes, min(self._counter.count, MANY), tuple(steps), self.device.state.value)

    def _run(
        self, cdb: bytes, *, data_out: bytes | None = None, data_in: int | None = None, allowed: int = 0
    ) -> Result:
        room = memoryview(bytearray(data_in)) if data_in is not None else None
        command = Command(self.device, cdb, data_out, room, TIMEOUT_S, allowed, not allowed)
        self._counter.commands.add(command)
        submit(command)
        while command.phase is not Phase.FINISHED:
            self.clock.advance(self.clock.pending()[0])
        return Result(
            command.status,
            command.host_byte,
            0,
            command.sense_data,
            command.residual,
            0.0,
            room,
            self.device.address,
            cdb,
        )


class _Counter(Filter):
    """Counts what the mid level gave the driver, without what the error handler sends itself."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: set[Command] = set()
        self.count = 0

    def queuecommand(
        self,
        command: Command,
        done: Callable[[Command], None],
        behind: Callable[[Command, Callable[[Command], None]], int],
    ) -> int:
        busy = behind(command, done)
        self.count += command in self.commands and not busy
        return busy


_RESET_OCCURRED = 0x29


def seen(result: Result) -> tuple[int, int, tuple[int, ...], int]:
    """Return what sg tells of a command."""
    sense = result.sense
    codes: tuple[int, ...] = ()
    if sense is not None:
        # Which reset it was that a device speaks of is its own affair.
        codes = (sense.response_code, sense.key, sense.asc, sense.ascq if sense.asc != _RESET_OCCURRED else 0)
    # What of the buffer was moved means something only if the device has carried the command out.
    carried_out = result.host_byte != HostByte.DID_TIME_OUT and codes[1:2] != (SenseKey.UNIT_ATTENTION,)
    residual = result.residual if carried_out else 0
    return int(result.status), int(result.host_byte), codes, residual


def _read_error(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    with mmap.mmap(-1, mmap.PAGESIZE) as page, memoryview(page)[:BLOCK] as room:
        try:
            os.preadv(fd, [room], 8 * BLOCK)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        finally:
            os.close(fd)
    return ""


def block_layer_error(result: Result) -> str:
    """Return the errno that a reader gets through the block layer for what became of a command."""
    if result.host_byte:
        failfast = (HostByte.DID_TRANSPORT_FAILFAST, HostByte.DID_TRANSPORT_MARGINAL)
        return "ENOLINK" if result.host_byte in failfast else "EIO"
    if result.status == Status.RESERVATION_CONFLICT:
        return "EBADE"
    if result.status != Status.CHECK_CONDITION:
        return "" if result.status in (Status.GOOD, Status.CONDITION_MET) else "EIO"
    return _sense_error(result.sense)


def _sense_error(sense: Sense | None) -> str:
    if sense is None:
        return "EIO"
    for code in ((sense.key, sense.asc, sense.ascq), (sense.key, sense.asc), (sense.key,)):
        if code in _BY_SENSE:
            return _BY_SENSE[code]
    return "EIO"


_TARGET_FAILURE = (0x20, 0x21, 0x22, 0x24, 0x26, 0x27)
_BY_SENSE: dict[tuple[int, ...], str] = {
    (SenseKey.NO_SENSE,): "",
    (SenseKey.RECOVERED_ERROR,): "",
    (SenseKey.MEDIUM_ERROR, 0x11): "ENODATA",
    (SenseKey.MEDIUM_ERROR, 0x13): "ENODATA",
    (SenseKey.MEDIUM_ERROR, 0x14): "ENODATA",
    (SenseKey.HARDWARE_ERROR,): "EREMOTEIO",
    **{(SenseKey.ILLEGAL_REQUEST, asc): "EREMOTEIO" for asc in _TARGET_FAILURE},
    (SenseKey.DATA_PROTECT,): "EREMOTEIO",
    (SenseKey.DATA_PROTECT, 0x27, 0x07): "ENOSPC",
    (SenseKey.BLANK_CHECK,): "EREMOTEIO",
    (SenseKey.COPY_ABORTED,): "EREMOTEIO",
    (SenseKey.VOLUME_OVERFLOW,): "EREMOTEIO",
    (SenseKey.MISCOMPARE,): "EREMOTEIO",
}
