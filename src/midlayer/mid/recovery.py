"""Recovery: what is done about commands that failed or were lost, from the gentlest step to the harshest.

::

    REQUEST SENSE ─> START UNIT ─> device ─> target ─> bus ─> host reset ─> offline
      no autosense    04/02        reset     reset     reset

Each rung of the ladder gets what the rung before could not help. A reset that succeeds is followed by TEST
UNIT READY; if that is well, the commands of the device are retried or end. Comments name the rules (EH-…)
of docs/error-handling.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midlayer.mid.command import Command, HostByte, Phase
from midlayer.mid.completion import give_up
from midlayer.mid.disposition import Disposition, decide, decide_by_sense
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.recovery_callbacks import FAST_IO_FAIL, SUCCESS, recovers
from midlayer.mid.recovery_step import Action
from midlayer.mid.waits import Send, Sent, Settle, Steps
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sam import Status
from midlayer.standards.sense import Sense

if TYPE_CHECKING:
    from midlayer.mid.error_handler import ErrorHandler
    from midlayer.mid.scope import Scope

_log = logging.getLogger("midlayer.recovery")

SENSE_TIMEOUT_S = 10.0
SETTLE_S = 10.0
BUSY_RETRY_S = 0.1
SENSE_BYTES = 96

_TUR = bytes(6)
_START = bytes((Opcode.START_STOP_UNIT, 0, 0, 0, 1, 0))
_REQUEST_SENSE = bytes((Opcode.REQUEST_SENSE, 0, 0, 0, SENSE_BYTES, 0))


@dataclass(frozen=True, slots=True)
class Rung:
    """One kind of reset.

    Attributes:
        action: Its name in the record.
        handler: The driver's callback.
        reach: What is held while it runs, and told of: ``device``, ``target``, ``bus`` or ``host``.
        group: Devices that give the same are reset by one call.
        settles: True for ten seconds of rest after success.
        tests_at_once: True to test each device right after its reset, False after all resets.
        starts: True to send START UNIT before the test.
        past_deadline: True to run even when `eh_deadline` has passed (EH-9).
    """

    action: Action
    handler: str
    reach: str
    group: Callable[[LogicalUnit], Hashable]
    settles: bool = False
    tests_at_once: bool = False
    starts: bool = False
    past_deadline: bool = False


LADDER = (
    Rung(
        Action.DEVICE_RESET,
        "eh_device_reset_handler",
        "device",
        lambda device: device.address,
        tests_at_once=True,
    ),
    # EH-7: by the id alone, as in the kernel, whatever the channel
    Rung(Action.TARGET_RESET, "eh_target_reset_handler", "target", lambda device: device.address.target),
    Rung(
        Action.BUS_RESET,
        "eh_bus_reset_handler",
        "bus",
        lambda device: device.address.channel,
        settles=True,
    ),
    Rung(
        Action.HOST_RESET,
        "eh_host_reset_handler",
        "host",
        lambda device: None,
        settles=True,
        starts=True,
        past_deadline=True,
    ),
)
"""The resets, in order (EH-7)."""


class Recovery:
    """One recovery: the commands of one scope, from the first that failed to the last that is settled.

    Attributes:
        scope: What it is about, and what it holds.
        waiting: Commands that failed and wait until every other one of the scope is back.
        running: True while the ladder is climbed.
    """

    def __init__(self, handler: ErrorHandler, scope: Scope) -> None:
        self.handler = handler
        self.host = handler.host
        self.scope = scope
        self.waiting: list[Command] = []
        self.running = False
        self._work: list[Command] = []
        self._settled: list[Command] = []

    def steps(self) -> Steps[None]:
        """Climb the ladder. What is left when this ends is given up by `end`."""
        with self.host.lock:
            self._work, self.waiting = self.waiting, []
        self.handler.record(Action.BEGIN, self.scope.name, f"{len(self._work)} commands")
        yield from self._request_sense()
        if self._work:
            yield from self._start_units()
        if not recovers(self.host.template):
            self._settle(list(self._work))
        for rung in LADDER:
            if self._work:
                yield from self._climb(rung)
        for command in list(self._work):
            self._take_offline(command)

    def end(self) -> None:
        """Send every command on its way: another try, or its end (EH-10)."""
        self._settle(list(self._work))
        settled, self._settled = self._settled, []
        for command in settled:
            try:
                self.handler.retry_or_finish(command)
            except Exception:  # of a command that a driver has spoilt; the others wait for their end
                _log.exception("a command of driver %s could not be settled", self.host.name)
                give_up(command)
        self.handler.record(Action.END, self.scope.name, f"{len(settled)} commands")

    # EH-5, EH-6

    def _request_sense(self) -> Steps[None]:
        for command in list(self._work):
            if self._past_deadline():
                return
            if command.phase is Phase.LOST or command.status != Status.CHECK_CONDITION or command.host_byte:
                continue
            if Sense.decode(command.sense_data) is not None:
                continue
            room = bytearray(SENSE_BYTES)
            send = yield from self._send(command, _REQUEST_SENSE, SENSE_TIMEOUT_S, room)
            fetched = bytes(room[: max(0, SENSE_BYTES - send.command.residual)])
            good = not (send.command.status or send.command.host_byte)
            well = send.command.phase is Phase.FINISHED and good and Sense.decode(fetched) is not None
            self.handler.record(Action.REQUEST_SENSE, str(command.device.address), _word(well))
            if not well:
                continue
            command.sense_data = fetched
            verdict = decide(command)
            if verdict is Disposition.SUCCESS:
                command.retries = max(command.retries, command.allowed)  # it has its answer now
                command.allowed = max(command.allowed, 0)
                self._settle([command])
            elif verdict is Disposition.NEEDS_RETRY:
                self._settle([command])

    def _start_units(self) -> Steps[None]:
        for device, commands in self._by(lambda device: device.address):
            asking = [command for command in commands if _wants_start(command)]
            if not asking:
                continue
            if self._past_deadline():
                return
            started = yield from self._start(asking[0])
            if started and (not device.online or (yield from self._is_ready(asking[0]))):
                self._settle(commands)

    # EH-7, EH-8

    def _climb(self, rung: Rung) -> Steps[None]:
        reset: list[Command] = []
        for device, commands in self._by(rung.group):
            if not rung.past_deadline and self._past_deadline():
                self.handler.record(Action.PAST_DEADLINE, str(device.address), rung.action)
                break
            outcome = yield from self._reset(rung, commands[0])
            if outcome == FAST_IO_FAIL:
                self._settle(commands)
            elif outcome == SUCCESS and rung.tests_at_once:
                yield from self._test(rung, commands)
            elif outcome == SUCCESS:
                reset += commands
        yield from self._test(rung, reset)

    def _reset(self, rung: Rung, command: Command) -> Steps[int]:
        self.scope.widen(rung.reach, command.device)
        outcome = self.handler.ask(rung.handler, rung.action, rung.reach, command)
        if outcome == SUCCESS:
            if rung.settles and not self.host.template.skip_settle_delay:
                yield Settle(self.host.clock, SETTLE_S)
            self.handler.note_reset(rung.reach, command.device)
        return outcome

    def _test(self, rung: Rung, commands: list[Command]) -> Steps[None]:
        """See which devices are well again, and settle their commands."""
        left = [command for command in self._work if any(command is one for one in commands)]
        for device, mine in _grouped(left, lambda device: device.address):
            if not rung.starts and self._past_deadline():
                return
            well = not device.online
            if not well and rung.starts and device.allow_restart:
                well = (yield from self._start(mine[0])) and (yield from self._is_ready(mine[0]))
            if well or (yield from self._is_ready(mine[0])):
                self._settle(mine)

    def _take_offline(self, command: Command) -> None:
        device = command.device
        if device.online:
            _log.warning("%s: Device offlined - not ready after error recovery", device.address)
            self.handler.take_offline(device)
        self._settle([command])

    # The commands of the error handler's own

    def _is_ready(self, command: Command) -> Steps[bool]:
        """Send TEST UNIT READY, twice if it wants a retry (EH-8)."""
        device = command.device
        for _ in range(2):
            send = yield from self._send(command, _TUR, device.eh_timeout_s)
            verdict = _judge(send)
            if verdict is not Disposition.NEEDS_RETRY:
                break
        well = verdict is not Disposition.FAILED
        self.handler.record(Action.TEST_UNIT_READY, str(device.address), _word(well))
        return well

    def _start(self, command: Command) -> Steps[bool]:
        device = command.device
        for _ in range(2):
            send = yield from self._send(command, _START, device.eh_timeout_s)
            verdict = _judge(send)
            if verdict is not Disposition.NEEDS_RETRY:
                break
        well = verdict is Disposition.SUCCESS
        self.handler.record(Action.START_UNIT, str(device.address), _word(well))
        return well

    def _send(
        self, command: Command, cdb: bytes, timeout_s: float, room: bytearray | None = None
    ) -> Steps[Send]:
        """Send a command to the device of another, again while the driver is busy (EH-11)."""
        until_s = self.host.monotonic() + timeout_s
        while True:
            left_s = until_s - self.host.monotonic()
            send = Send(command.device, cdb, left_s, room)
            outcome = yield send
            if outcome is not Sent.BUSY or left_s <= BUSY_RETRY_S:
                break
            yield Settle(self.host.clock, BUSY_RETRY_S)
        if outcome is not Sent.DONE:
            send.command.host_byte = HostByte.DID_ERROR
        if outcome is Sent.TIMED_OUT:
            send.command.host_byte = HostByte.DID_TIME_OUT
            yield from self._get_back(send.command)
        # As in the kernel, which sends these in the guise of the failed command, in its room for sense data.
        command.sense_data = send.command.sense_data
        return send

    def _get_back(self, lost: Command) -> Steps[None]:
        """Abort a command of the error handler's, by whatever means there are (EH-11)."""
        if self.handler.ask("eh_abort_handler", Action.ABORT, "device", lost) == SUCCESS:
            return
        for rung in LADDER:
            if (yield from self._reset(rung, lost)) == SUCCESS:
                return

    # Inside

    def _past_deadline(self) -> bool:
        return self.handler.past_deadline()

    def _by(self, group: Callable[[LogicalUnit], Hashable]) -> Iterator[tuple[LogicalUnit, list[Command]]]:
        return _grouped(list(self._work), group)

    def _settle(self, commands: list[Command]) -> None:
        self._work = [command for command in self._work if not any(command is one for one in commands)]
        self._settled += commands


def _grouped(
    commands: list[Command], group: Callable[[LogicalUnit], Hashable]
) -> Iterator[tuple[LogicalUnit, list[Command]]]:
    groups: dict[Hashable, list[Command]] = {}
    for command in sorted(commands, key=lambda command: tuple(command.device.address)):
        groups.setdefault(group(command.device), []).append(command)
    for members in groups.values():
        yield members[0].device, members


def _judge(send: Send) -> Disposition:
    """Say what became of a command of the error handler's; it is stricter than with others."""
    command = send.command
    if command.phase is not Phase.FINISHED:
        return Disposition.FAILED
    if command.host_byte == HostByte.DID_RESET:
        verdict = decide_by_sense(command, recovering=True)
    elif command.host_byte:
        return Disposition.FAILED
    elif not command.status:
        return Disposition.SUCCESS
    elif command.status == Status.RESERVATION_CONFLICT:
        return Disposition.SUCCESS if command.cdb == _TUR else Disposition.FAILED
    elif command.status in (Status.BUSY, Status.TASK_SET_FULL):
        return Disposition.NEEDS_RETRY
    else:
        verdict = decide(command, recovering=True)
    return Disposition.FAILED if verdict is Disposition.ADD_TO_MLQUEUE else verdict


def _wants_start(command: Command) -> bool:
    if not command.device.allow_restart or command.phase is Phase.LOST or command.host_byte:
        return False
    sense = Sense.decode(command.sense_data)
    return sense is not None and (sense.asc, sense.ascq) == (0x04, 0x02)


def _word(well: bool) -> str:
    return "success" if well else "failed"
