"""Commands: from the submitter to the driver, and back.

The fast path is a command that the driver completes before `queuecommand` returns: it takes the host's
lock twice and never leaves the caller's thread. Everything that waits (a full queue, a busy driver, a
retry, a time-out) leaves that path.

Phases of a command; only this module writes them::

    NEW ──> ISSUED ──> RETURNED ──> FINISHED
      └─> QUEUED ─┘ <──────┘ (retry, requeue)
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from midlayer.errors import NodeError
from midlayer.mid import error_handler
from midlayer.mid.command import Buffer, Command, DriverByte, HostByte, Phase, Result
from midlayer.mid.disposition import Disposition, decide, may_retry
from midlayer.mid.host import Host
from midlayer.mid.host_template import DEVICE_BUSY, TARGET_BUSY
from midlayer.mid.logical_unit import Gate, LogicalUnit

if TYPE_CHECKING:
    from midlayer.mid.clock import Timer

_log = logging.getLogger("midlayer.dispatch")

IDLE_RETRY_S = 0.003
"""How long an idle device, or host, that refused a command is left alone."""

_QUEUED, _ISSUED, _RETURNED, _FINISHED = Phase.QUEUED, Phase.ISSUED, Phase.RETURNED, Phase.FINISHED
_new_tuple = tuple.__new__
_OPEN, _CLOSED = Gate.OPEN, Gate.CLOSED
_DRIVER_OK, _DRIVER_SENSE = DriverByte.DRIVER_OK, DriverByte.DRIVER_SENSE


def execute(  # noqa: PLR0917 (the scan and the passthrough call it by position)
    device: LogicalUnit,
    cdb: bytes,
    data_out: Buffer | None = None,
    data_in: memoryview | None = None,
    timeout_s: float = 60.0,
    allowed: int = 0,
    passthrough: bool = False,
) -> Result:
    """Run one command and wait for its end.

    Args:
        device: A logical unit of the subsystem.
        cdb: 6 to 260 bytes.
        data_out: Bytes for the device.
        data_in: Writable bytes for what the device sends.
        timeout_s: Seconds that the driver has for it.
        allowed: Retries that the mid level may make.
        passthrough: True to leave every status to the caller.
    """
    return run(Command(device, cdb, data_out, data_in, timeout_s, allowed, passthrough))


def run(command: Command) -> Result:
    """Submit a command that has no `on_finished`, wait for its end and return its result.

    Raises:
        NodeError: If the driver could not use the device's node; see `HostTemplate.queuecommand`.
    """
    submit(command)
    if command.phase is not _FINISHED:
        _wait(command)
    if command.error is not None:
        raise command.error
    sense_data = command.sense_data
    # Result(…) without the detour through the constructor that NamedTuple makes.
    return _new_tuple(
        Result,
        (
            command.status,
            command.host_byte,
            _DRIVER_SENSE if sense_data else _DRIVER_OK,
            sense_data,
            command.residual,
            command.duration_s,
            command.data_in,
            command.device.address,
            command.cdb,
        ),
    )


def submit(command: Command) -> None:
    """Send a command on its way; `command.on_finished` is called at its end, perhaps before this returns."""
    device = command.device
    host = device.host
    if len(command.cdb) > host.max_cmd_len:
        _refuse(command, HostByte.DID_ABORT)
        return
    if device.lun_in_cdb:
        command.cdb = _with_lun_bits(command.cdb, device.address.lun)
    with host.lock:
        # The gate is looked at under the lock, so that `fail_queued` misses no command.
        issued = (
            device.gate is _OPEN
            and not host.waiting
            and host.busy < host.can_queue
            and device.busy < device.queue_depth
        )
        if issued:
            host.busy += 1
            device.busy += 1
            command.phase = _ISSUED
    if not issued and not _admit(command, host):
        return
    # `_issue`, spelled out
    monotonic, queuecommand = host.monotonic, host.queuecommand
    command.started_s = monotonic()
    try:
        busy = queuecommand(command, done)
    except Exception as error:
        _driver_raised(command, host, error)
        return
    except BaseException as error:  # Ctrl-C in the driver must not cost the host a place in its queue
        _driver_raised(command, host, error)
        raise
    if command.phase is not _FINISHED:
        _after_issue(command, host, busy)


def _admit(command: Command, host: Host) -> bool:
    """Issue a command while others wait, queue it, or refuse it; True if it is to be issued."""
    device = command.device
    with host.lock:
        gate = device.gate
        full = host.busy >= host.can_queue or device.busy >= device.queue_depth
        if gate is _OPEN and not (full or device.queue or host.blocked or device.blocked):
            host.busy += 1
            device.busy += 1
            command.phase = _ISSUED
            return True
        if gate is not _CLOSED:
            command.phase = _QUEUED
            host.enqueue(command, first=command.at_head)
            return False
    _refuse(command, HostByte.DID_NO_CONNECT)
    return False


def done(command: Command) -> None:
    """Take a command back from its driver. Passed to `queuecommand`; exactly once for each command."""
    device = command.device
    host = device.host
    with host.lock:
        if command.phase is not _ISSUED:
            host.unexpected_done += 1
            _log.error("%s: driver %s called done on a command that it does not have", command, host.name)
            return
        command.phase = _RETURNED
        host.busy -= 1
        device.busy -= 1
        waiting = host.waiting
        if waiting:
            device.blocked = host.blocked = False
        timer = command.timer
        if timer is not None:
            command.timer = None
    monotonic = host.monotonic
    command.duration_s = monotonic() - command.started_s
    if timer is not None:
        timer.cancel()
    if command.status or command.host_byte:
        _settle(command, host)
        waiting = host.waiting  # it may have gone back to the queue
    else:  # `_finish`, spelled out
        command.phase = _FINISHED
        if command.waiter is not None:
            command.waiter()
        if command.on_finished is not None:
            _call_on_finished(command, command.on_finished)
    if waiting:
        run_queues(host)


def run_queues(host: Host) -> None:
    """Issue queued commands as long as there is room. A thread does so once, however deep it is called."""
    thread = threading.get_ident()
    with host.lock:
        if thread in host.runners:
            return
        host.runners.add(thread)
    try:
        while True:
            with host.lock:
                command = host.next_ready()
                if command is None:
                    host.runners.discard(thread)
                    return
                command.phase = _ISSUED
            command.clear_answer()
            _issue(command, host)
    except BaseException:
        with host.lock:
            host.runners.discard(thread)
        run_queues(host)  # Ctrl-C is for whoever sits in this thread; others still wait for their turn
        raise


def fail_queued(device: LogicalUnit) -> None:
    """End every command that waits for a device which is going away."""
    host = device.host
    with host.lock:
        commands = host.drain(device)
    for command in commands:
        _refuse(command, HostByte.DID_NO_CONNECT)


def _issue(command: Command, host: Host) -> None:
    command.started_s = host.monotonic()
    try:
        busy = host.queuecommand(command, done)
    except Exception as error:
        _driver_raised(command, host, error)
        return
    except BaseException as error:
        _driver_raised(command, host, error)
        raise
    if command.phase is not _FINISHED:
        _after_issue(command, host, busy)


def _driver_raised(command: Command, host: Host, error: BaseException) -> None:
    if isinstance(error, NodeError) and command.phase is _ISSUED:
        command.error = error  # for the submitter, who may be in another thread
    else:
        _log.error("%s: driver %s raised in queuecommand", command, host.name, exc_info=error)
    if command.phase is _ISSUED:
        command.host_byte = HostByte.DID_ERROR
        command.residual = command.requested_bytes
        done(command)


def _after_issue(command: Command, host: Host, busy: int) -> None:
    """The driver returned, and the command is still on its way, or was refused."""
    if busy:
        _take_back(command, host, busy)
    else:
        _arm(command, host)


def _arm(command: Command, host: Host) -> None:
    with host.lock:
        if command.phase is _ISSUED and command.timer is None:
            expiry = _Expiry(command)
            command.timer = expiry.timer = host.clock.call_later(command.timeout_s, expiry)


class _Expiry:
    """The end of a command's time, for one try: a timer that comes late must not end the next try."""

    __slots__ = ("command", "timer")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.timer: Timer | None = None

    def __call__(self) -> None:
        _timed_out(self.command, self)


def _timed_out(command: Command, expiry: _Expiry) -> None:
    device = command.device
    host = device.host
    with host.lock:
        if command.phase is not _ISSUED or command.timer is not expiry.timer:
            return  # the driver was faster
        command.phase = _RETURNED
        host.busy -= 1
        device.busy -= 1
        device.blocked = host.blocked = False
        command.timer = None
    command.duration_s = host.monotonic() - command.started_s
    error_handler.times_out(command)
    _finish(command)
    run_queues(host)


def _take_back(command: Command, host: Host, busy: int) -> None:
    """The driver did not accept the command: keep it at the head of its device's queue."""
    device = command.device
    with host.lock:
        if command.phase is not _ISSUED:
            host.unexpected_done += 1
            _log.error("%s: driver %s said busy for a command that it completed", command, host.name)
            return
        command.phase = _RETURNED
        host.busy -= 1
        device.busy -= 1
    command.duration_s = 0.0
    if not _requeue(command, host, whole_host=busy not in (DEVICE_BUSY, TARGET_BUSY)):
        # No answer of a device says why, so a host byte has to.
        closed = device.gate is _CLOSED
        _refuse(command, HostByte.DID_NO_CONNECT if closed else HostByte.DID_TIME_OUT)
    run_queues(host)


def _settle(command: Command, host: Host) -> None:
    """Do what the disposition table says of a command that did not end in GOOD."""
    if command.error is not None:  # another try would end the same way
        _finish(command)
        return
    disposition = decide(command)
    if disposition is Disposition.ADD_TO_MLQUEUE:
        if _requeue(command, host, whole_host=False):
            return
    elif disposition is Disposition.NEEDS_RETRY and may_retry(command):
        command.retries += 1
        if _requeue(command, host, whole_host=False, wait=False):
            return
    elif disposition is Disposition.FAILED:
        error_handler.fails(command)
    _finish(command)


def _requeue(command: Command, host: Host, *, whole_host: bool, wait: bool = True) -> bool:
    """Put a command back at the head of its queue; False if its whole life is over, or its device gone."""
    if command.deadline_s is None:
        tries = command.allowed + 1 if command.allowed >= 0 else math.inf
        command.deadline_s = command.started_s + tries * command.timeout_s
    if host.monotonic() >= command.deadline_s:
        return False
    device = command.device
    with host.lock:
        if device.gate is _CLOSED:
            return False
        command.phase = _QUEUED
        host.enqueue(command, first=True)
        if not wait:
            return True
        if whole_host:
            host.blocked = True
        else:
            device.blocked = True
        idle = (host.busy if whole_host else device.busy) == 0
    if idle:
        host.clock.call_later(IDLE_RETRY_S, partial(_unblock, device, host))
    return True


def _unblock(device: LogicalUnit, host: Host) -> None:
    with host.lock:
        device.blocked = host.blocked = False
    run_queues(host)


def _finish(command: Command) -> None:
    # The order matters: whoever waits sets `waiter` first and then looks at `phase`.
    command.phase = _FINISHED
    waiter = command.waiter
    if waiter is not None:
        waiter()
    on_finished = command.on_finished
    if on_finished is not None:
        _call_on_finished(command, on_finished)


def _call_on_finished(command: Command, on_finished: Callable[[Command], None]) -> None:
    """Call back; what it raises must not reach the driver, nor keep the queue from running."""
    try:
        on_finished(command)
    except Exception:
        _log.exception("%s: on_finished raised", command)


def _wait(command: Command) -> None:
    lock = threading.Lock()
    lock.acquire()
    command.waiter = lock.release
    if command.phase is not _FINISHED:
        lock.acquire()


def _refuse(command: Command, host_byte: HostByte) -> None:
    """End a command that does not reach the driver, or not again."""
    command.clear_answer()
    command.host_byte = host_byte
    command.residual = command.requested_bytes
    command.duration_s = 0.0
    _finish(command)


def _with_lun_bits(cdb: bytes, lun: int) -> bytes:
    return bytes((cdb[0], (cdb[1] & 0x1F) | (lun << 5 & 0xE0))) + cdb[2:]
