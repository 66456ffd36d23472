"""The error handler of a host: what becomes of a command that timed out or that disposition calls FAILED.

::

    time-out ─> eh_timed_out ─> 10 ms ─> eh_abort_handler ─> retry, or end
                     │                         │ failed, or none
                     └─────────────────────────┴─> recovery (`midlayer.mid.recovery`)

The rules (EH-…) are in docs/error-handling.md. No thread waits here: time is the clock's, and what a driver
may block in is called by a worker that exists only while there is something to do.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING

from midlayer.errors import NodeError
from midlayer.mid.command import Command, HostByte, Phase
from midlayer.mid.completion import release_lost
from midlayer.mid.dispatch import end, fail_queued, requeue, run_queues
from midlayer.mid.disposition import may_retry
from midlayer.mid.logical_unit import ALLOWED_FROM, DeviceState
from midlayer.mid.recovery import Recovery
from midlayer.mid.recovery_callbacks import FAILED, FAST_IO_FAIL, SUCCESS, TimeOut, provides, recovers
from midlayer.mid.recovery_step import Action, RecoveryStep
from midlayer.mid.scope import Scope, can_recover, key_of, name_of
from midlayer.mid.task_management import abort_command, reset
from midlayer.mid.waits import carry_out
from midlayer.standards.opcodes import describe_cdb
from midlayer.standards.sam import Status

if TYPE_CHECKING:
    from midlayer.mid.clock import Timer
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit

__all__ = ["ErrorHandler", "abort_command", "reset"]

_log = logging.getLogger("midlayer.recovery")

ABORT_DELAY_S = 0.01
RECENT_STEPS = 64

_WORDS = {SUCCESS: "success", FAILED: "failed", FAST_IO_FAIL: "fast io fail"}


class ErrorHandler:
    """Watches over the commands of one host.

    Attributes:
        host: The host.
        recent: The last steps of recovery, oldest first.
        recoveries: By scope, those that wait for other commands to come back, and those that run.
        host_wide: How many of them hold the whole host.
    """

    __slots__ = ("_aborts", "_since_s", "host", "host_wide", "recent", "recoveries")

    def __init__(self, host: Host) -> None:
        self.host = host
        self.recent: deque[RecoveryStep] = deque(maxlen=RECENT_STEPS)
        self.recoveries: dict[Hashable, Recovery] = {}
        self.host_wide = 0
        self._aborts = host.clock.worker(f"midlayer-eh-{host.host_no}")
        self._since_s: float | None = None  # when the present trouble began, for `eh_deadline`

    # What dispatch calls

    def start_timer(self, command: Command) -> None:
        """Let the time of a command run. The caller holds the host's lock."""
        expiry = _Expiry(self, command)
        command.timer = expiry.timer = self.host.clock.call_later(command.timeout_s, expiry)

    def fails(self, command: Command) -> bool:
        """Take a command that the driver gave back, but not in a way that can be accepted.

        Returns:
            False if it is to end as it is.
        """
        template = self.host.template
        no_sense = command.status == Status.CHECK_CONDITION and not command.host_byte
        if template.recovers_itself or not (no_sense or recovers(template)) or not self._take(command):
            if not (command.host_byte or command.status):
                command.host_byte = HostByte.DID_ERROR
            return False
        return True

    def wake(self) -> None:
        """Begin each recovery whose scope has no command with the driver but those that failed (EH-4)."""
        with self.host.lock:
            ready = [recovery for recovery in self.recoveries.values() if _is_ready(recovery)]
            for recovery in ready:
                recovery.running = True
        for recovery in ready:
            worker = self.host.clock.worker(f"midlayer-eh-{recovery.scope.name}")
            carry_out(worker, recovery.steps(), partial(self._recovery_ends, recovery))

    # A command whose time is over (EH-1 to EH-3)

    def expired(self, command: Command, expiry: _Expiry) -> None:
        """The time of a command is over, unless the driver was faster."""
        host = self.host
        with host.lock:
            if command.phase is not Phase.ISSUED or command.timer is not expiry.timer:
                return
        verdict = self._ask_about_time_out(command)
        with host.lock:
            if command.phase is not Phase.ISSUED or command.timer is not expiry.timer:
                return  # the driver completed it meanwhile
            if verdict is TimeOut.DONE and expiry.said_done:
                _log.error("%s: driver %s said DONE and did not complete it", command, host.name)
            elif verdict is not TimeOut.NOT_HANDLED:
                expiry.said_done = verdict is TimeOut.DONE
                command.timer = expiry.timer = host.clock.call_later(command.timeout_s, expiry)
                return
            command.phase = Phase.LOST
            command.timer = None
            if self._since_s is None:
                self._since_s = host.monotonic()
        command.duration_s = host.monotonic() - command.started_s
        self._time_out(command)

    def _ask_about_time_out(self, command: Command) -> TimeOut:
        template = self.host.template
        if not provides(template, "eh_timed_out"):
            return TimeOut.NOT_HANDLED
        try:
            return TimeOut(template.eh_timed_out(command))
        except ValueError as error:
            _log.error("%s: eh_timed_out of driver %s: %s", command, self.host.name, str(error))
        except Exception:
            _log.exception("%s: eh_timed_out of driver %s raised", command, self.host.name)
        return TimeOut.NOT_HANDLED

    def _time_out(self, command: Command) -> None:
        template = self.host.template
        if not recovers(template):
            self._give_back(command)
            return
        self.record(Action.TIME_OUT, str(command.device.address), describe_cdb(command.cdb))
        wanted = provides(template, "eh_abort_handler") and not template.no_async_abort
        if wanted and not command.abort_tried:
            command.rare.abort_tried = True
            call = partial(self._aborts.post, partial(self._abort, command))
            self.host.clock.call_later(ABORT_DELAY_S, call)
        elif not self._take(command):
            self._give_back(command)

    def _abort(self, command: Command) -> None:
        """Have one command aborted while others run; what can not be aborted needs recovery."""
        if not self.past_deadline():
            outcome = self.ask("eh_abort_handler", Action.ABORT, "device", command)
            if outcome == SUCCESS and not self.past_deadline():
                self._give_back(command)
                return
        if not self._take(command):
            self._give_back(command)

    def _give_back(self, command: Command) -> None:
        self.retry_or_finish(command)
        self._calm_down()
        self.wake()
        run_queues(self.host)

    @property
    def trouble_s(self) -> float | None:
        """Seconds since the present trouble began, from which `eh_deadline` counts; None if all is well."""
        since_s = self._since_s
        return None if since_s is None else self.host.monotonic() - since_s

    # For a recovery

    def past_deadline(self) -> bool:
        """Return whether `eh_deadline` has passed; it counts only with a host reset handler (EH-9)."""
        host = self.host
        if host.eh_deadline < 0 or self._since_s is None:
            return False
        if not provides(host.template, "eh_host_reset_handler"):
            return False
        return host.monotonic() >= self._since_s + host.eh_deadline

    def ask(self, name: str, action: Action, reach: str, command: Command) -> int:
        """Call a handler of the driver, and note it; one that it does not have gives FAILED, unnoted."""
        host = self.host
        if not provides(host.template, name):
            return FAILED
        outcome: object = FAILED
        try:
            outcome = getattr(host.template, name)(command)
        except NodeError as error:  # this process may not, or can not: no mistake of the driver
            _log.warning("%s: %s of driver %s: %s", command, name, host.name, error)
            command.error = error
        except Exception:
            _log.exception("%s: %s of driver %s raised", command, name, host.name)
        if not isinstance(outcome, int) or outcome not in _WORDS:
            text = "%s: %s of driver %s returned %r, which means nothing"
            _log.error(text, command, name, host.name, outcome)
            outcome = FAILED
        self.record(action, name_of(reach, command.device), _WORDS[outcome])
        return outcome

    def record(self, action: Action, subject: str, outcome: str) -> None:
        """Keep one step, and tell upper-level drivers of it."""
        host = self.host
        step = RecoveryStep(host.clock.wall(), host.host_no, action, subject, outcome)
        self.recent.append(step)
        _log.info("%s", step)
        for driver in tuple(host.upper):
            try:
                driver.recovery(host, step)
            except Exception:
                _log.exception("upper driver %s raised in recovery", type(driver).__name__)

    def note_reset(self, reach: str, device: LogicalUnit) -> None:
        """Expect a unit attention of every device that a reset has reached (EH-8)."""
        address = device.address
        for each in {device, *self.host.devices()}:
            place = each.address
            if reach == "device":
                reached = each is device
            elif reach == "target":
                reached = (place.channel, place.target) == (address.channel, address.target)
            else:
                # The kernel reports a host reset for the channel of the command alone; a host has them all.
                reached = reach == "host" or place.channel == address.channel
            if reached:
                each.was_reset = each.expecting_cc_ua = True

    def take_offline(self, device: LogicalUnit) -> None:
        """Give a device up. The scan mutex is not taken: a scan may be waiting for this very recovery."""
        with self.host.lock:
            if device.state not in ALLOWED_FROM[DeviceState.OFFLINE]:
                return  # it is on its way out
            device.set_state(DeviceState.OFFLINE)
        self.record(Action.OFFLINE, str(device.address), "not ready after error recovery")
        fail_queued(device)
        self.host.subsystem.report_change(device, {"state": DeviceState.OFFLINE.value})

    def retry_or_finish(self, command: Command) -> None:
        """Give a command another try, or its end (EH-10)."""
        host, device = self.host, command.device
        if command.phase is Phase.LOST:
            sense_data = command.sense_data  # of the last command of the error handler's to this device
            command.clear_answer()
            command.sense_data = sense_data
            command.host_byte = HostByte.DID_TIME_OUT
            command.residual = command.requested_bytes
            release_lost(command, host)
        elif not (command.status or command.host_byte):
            command.host_byte = HostByte.DID_TIME_OUT
        noted = recovers(host.template)
        if device.online and may_retry(command) and self._should_retry(command):
            command.retries += 1
            if requeue(command, host, recovered=True):
                if noted:
                    self.record(Action.RETRY, str(device.address), describe_cdb(command.cdb))
                return
        if noted:
            self.record(Action.GIVE_UP, str(device.address), describe_cdb(command.cdb))
        end(command, host)

    def _should_retry(self, command: Command) -> bool:
        template = self.host.template
        try:
            return template.eh_should_retry_cmd(command)
        except Exception:
            _log.exception("%s: eh_should_retry_cmd of driver %s raised", command, self.host.name)
            return False

    # Inside

    def _take(self, command: Command) -> bool:
        """Leave a command to recovery; False if the host is too far gone."""
        host, device = self.host, command.device
        key = key_of(device)
        with host.lock:
            if not can_recover(host):
                return False
            if self._since_s is None:
                self._since_s = host.monotonic()
            recovery = self.recoveries.get(key)
            if recovery is None:
                recovery = self.recoveries[key] = Recovery(self, Scope(device))
                recovery.scope.begin()
            recovery.waiting.append(command)
        self.wake()
        return True

    def _recovery_ends(self, recovery: Recovery) -> None:
        recovery.end()
        host = self.host
        with host.lock:
            recovery.running = False
            again = bool(recovery.waiting)  # failed while the ladder was climbed
            if not again:
                self.recoveries = {
                    key: other for key, other in self.recoveries.items() if other is not recovery
                }
        if not again:
            recovery.scope.lift()
        self._calm_down()
        self.wake()
        run_queues(host)

    def _calm_down(self) -> None:
        with self.host.lock:
            if not self.recoveries:
                self._since_s = None


class _Expiry:
    """The end of a command's time, for one try: a timer that comes late must not end the next try."""

    __slots__ = ("command", "handler", "said_done", "timer")

    def __init__(self, handler: ErrorHandler, command: Command) -> None:
        self.handler = handler
        self.command = command
        self.said_done = False
        self.timer: Timer | None = None

    def __call__(self) -> None:
        self.handler.expired(self.command, self)


def _is_ready(recovery: Recovery) -> bool:
    waiting = recovery.waiting
    if recovery.running or not waiting:
        return False
    lost = sum(command.phase is Phase.LOST for command in waiting)
    return recovery.scope.outstanding([command.device for command in waiting]) == lost
