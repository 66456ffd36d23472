"""Commands: from the submitter to the driver, and back.

The fast path is a command that the driver completes before `queuecommand` returns: it takes the host's
lock twice and never leaves the caller's thread. Everything that waits (a full queue, a busy driver, a
retry, a time-out) leaves that path.

Phases of a command; only this module and the error handler write them::

    NEW ──> ISSUED ──> RETURNED ──> FINISHED
      └─> QUEUED ─┘│ <──────┘ (retry, requeue)
                   └─> LOST ──> RETURNED (time-out, then the error handler)
"""

from __future__ import annotations

import logging
import math
import threading
from functools import partial
from typing import TYPE_CHECKING

from midlayer.errors import NodeError
from midlayer.mid import queue_depth
from midlayer.mid.block_completion import TRANSITION_RETRY_S, FollowUp, follow_up
from midlayer.mid.command import Buffer, Command, DriverByte, HostByte, Phase, Result
from midlayer.mid.completion import (
    call_on_finished,
    fail,
    falls_short,
    finish,
    give_up,
    makes_sense,
    refuse,
    with_lun_bits,
)
from midlayer.mid.disposition import Disposition, decide, may_retry
from midlayer.mid.host_template import DEVICE_BUSY, TARGET_BUSY
from midlayer.mid.logical_unit import Gate, LogicalUnit
from midlayer.standards.sam import Status

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.target import Target

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
    return result_of(command)


def result_of(command: Command) -> Result:
    """Return the result of a command that has ended.

    Raises:
        NodeError: If the driver could not use the device's node; see `HostTemplate.queuecommand`.
    """
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
        refuse(command, HostByte.DID_ABORT)
        return
    if device.lun_in_cdb:
        command.cdb = with_lun_bits(command.cdb, device.address.lun)
    lock = host.lock
    lock.acquire()  # for each command, and `with` takes twice as long
    try:
        # The gate is looked at under the lock, so that `fail_queued` misses no command.
        issued = (
            device.gate is _OPEN
            and not (device.detour or host.detour)
            and host.busy < host.can_queue
            and device.busy < device.queue_depth
        )
        if issued:
            host.busy += 1
            device.busy += 1
            command.phase = _ISSUED
    finally:
        lock.release()
    if not issued and not _admit(command, host):
        return
    # `_issue`, spelled out
    monotonic, queuecommand = host.monotonic, device.queuecommand
    command.started_s = monotonic()
    try:
        busy = queuecommand(command, done)
    except Exception as error:
        _driver_raised(command, host, error)
        return
    except BaseException as error:  # Ctrl-C in the driver must not cost the host a place in its queue
        _driver_raised(command, host, error)
        raise
    if busy or command.phase is not _FINISHED:
        _after_issue(command, host, busy)


def _admit(command: Command, host: Host) -> bool:
    """Issue a command while others wait, queue it, or refuse it; True if it is to be issued."""
    device = command.device
    with host.lock:
        gate = device.gate
        full = host.busy >= host.can_queue or device.busy >= device.queue_depth
        if gate is _OPEN and not (full or device.queue) and host.is_open(device):
            host.busy += 1
            device.busy += 1
            command.phase = _ISSUED
            return True
        if gate is not _CLOSED:
            command.phase = _QUEUED
            host.enqueue(command, first=command.at_head)
            return False
    refuse(command, HostByte.DID_NO_CONNECT)
    return False


def done(command: Command) -> None:
    """Take a command back from its driver. Passed to `queuecommand`; exactly once for each command."""
    device = command.device
    host = device.host
    lock = host.lock
    lock.acquire()  # as in `submit`
    try:
        if command.phase is not _ISSUED:
            _not_expected(command, host)
            return
        command.phase = _RETURNED
        host.busy -= 1
        device.busy -= 1
        detour = device.detour or host.detour
        if detour:
            host.unblock(device)
        timer = command.timer
        if timer is not None:
            command.timer = None
    finally:
        lock.release()
    monotonic = host.monotonic
    command.duration_s = monotonic() - command.started_s
    if timer is not None:
        timer.cancel()
    if command.status or command.host_byte or command.residual or command.sense_data:
        _came_back(command, host)
        detour = device.detour or host.detour  # it may have gone back to the queue
    else:  # `finish`, spelled out
        command.phase = _FINISHED
        if command.waiter is not None:
            command.waiter()
        if command.on_finished is not None:
            call_on_finished(command, command.on_finished)
    if detour:
        _off_the_fast_path(command, host)


def _came_back(command: Command, host: Host) -> None:
    """See to a command whose answer says more than GOOD; whatever it is, the command has to end some day."""
    if not makes_sense(command):
        _log.error(
            "%s: driver %s answered status=%r host_byte=%r residual=%r sense_data=%r: taken for DID_ERROR",
            command, host.name, command.status, command.host_byte, command.residual, command.sense_data,
        )  # fmt: skip
        fail(command)
    if not (command.status or command.host_byte or falls_short(command)):
        finish(command)
        return
    try:
        _settle(command, host)
    except Exception:
        _log.exception("%s: what driver %s made of it could not be judged", command, host.name)
        give_up(command)


def _not_expected(command: Command, host: Host) -> None:
    if command.phase is Phase.LOST:  # it has lost to its time-out; the error handler knows about it
        host.late_done += 1
        _log.info("%s: driver %s called done after the time-out", command, host.name)
        return
    host.unexpected_done += 1
    _log.error("%s: driver %s called done on a command that it does not have", command, host.name)


def _off_the_fast_path(command: Command, host: Host) -> None:
    if host.watched and not (command.status or command.host_byte):
        queue_depth.note_good(command)
    if host.error_handler.recoveries:
        host.error_handler.wake()
    run_queues(host)


def run_queues(host: Host) -> None:
    """Issue queued commands as long as there is room. A thread does so once, however deep it is called."""
    if not host.waiting:  # what comes from now on finds the way as open as it is
        return
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
        refuse(command, HostByte.DID_NO_CONNECT)


def _issue(command: Command, host: Host) -> None:
    command.started_s = host.monotonic()
    try:
        busy = command.device.queuecommand(command, done)
    except Exception as error:
        _driver_raised(command, host, error)
        return
    except BaseException as error:
        _driver_raised(command, host, error)
        raise
    if busy or command.phase is not _FINISHED:
        _after_issue(command, host, busy)


def _driver_raised(command: Command, host: Host, error: BaseException) -> None:
    if isinstance(error, NodeError) and command.phase is _ISSUED:
        command.error = error  # for the submitter, who may be in another thread
    else:
        _log.error("%s: driver %s raised in queuecommand", command, host.name, exc_info=error)
    if command.phase is _ISSUED:
        fail(command)
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
            host.error_handler.start_timer(command)


def _take_back(command: Command, host: Host, busy: int) -> None:
    """The driver did not accept the command: keep it at the head of its device's queue."""
    device = command.device
    with host.lock:
        if command.phase is not _ISSUED:
            host.unexpected_done += 1
            _log.error("%s: driver %s said busy for a command that it completed", command, host.name)
            return
        returned: object = busy
        if not isinstance(returned, int):
            _log.error("%s: driver %s returned %r, taken for HOST_BUSY", command, host.name, returned)
        command.phase = _RETURNED
        host.busy -= 1
        device.busy -= 1
    command.duration_s = 0.0
    if not requeue(command, host, leave=_who_is_busy(device, busy)):
        # No answer of a device says why, so a host byte has to.
        closed = device.gate is _CLOSED
        refuse(command, HostByte.DID_NO_CONNECT if closed else HostByte.DID_TIME_OUT)
    _off_the_fast_path(command, host)


def _settle(command: Command, host: Host) -> None:
    """Do what the disposition table says of a command that did not end in GOOD."""
    if command.error is not None:  # another try would end the same way
        finish(command)
        return
    disposition = decide(command)
    if disposition is Disposition.ADD_TO_MLQUEUE:
        if command.status == Status.TASK_SET_FULL and not command.host_byte:
            queue_depth.note_task_set_full(command.device)
        if requeue(command, host, leave=command.device):
            return
    elif disposition is Disposition.NEEDS_RETRY and may_retry(command):
        command.retries += 1
        if requeue(command, host):
            return
    elif disposition is Disposition.FAILED and host.error_handler.fails(command):
        return
    end(command, host)


def end(command: Command, host: Host) -> None:
    """End a command, unless it is one of a block device that gets another try all the same."""
    following = follow_up(command)
    if following is FollowUp.END:
        finish(command)
        return
    leave = None if following is FollowUp.AGAIN else command.device
    delay_s = TRANSITION_RETRY_S if following is FollowUp.AFTER_TRANSITION else IDLE_RETRY_S
    if not requeue(command, host, leave=leave, delay_s=delay_s):
        finish(command)


def _who_is_busy(device: LogicalUnit, busy: int) -> Host | Target | LogicalUnit:
    if busy == DEVICE_BUSY:
        return device
    return device.target if busy == TARGET_BUSY else device.host


def requeue(
    command: Command,
    host: Host,
    *,
    leave: Host | Target | LogicalUnit | None = None,
    delay_s: float = IDLE_RETRY_S,
    recovered: bool = False,
) -> bool:
    """Put a command back at the head of its queue; False if its whole life is over, or its device gone.

    Args:
        command: A command that the driver no longer has.
        host: Of the command.
        leave: What to leave alone for a while; None to have it sent again as soon as there is room.
        delay_s: How long, if nothing comes back meanwhile; a host is left alone for longer.
        recovered: True for a command that the error handler got back, however long that took.
    """
    if command.deadline_s is None:
        tries = command.allowed + 1 if command.allowed >= 0 else math.inf
        command.deadline_s = command.started_s + tries * command.timeout_s
    if not recovered and host.monotonic() >= command.deadline_s:
        return False
    device = command.device
    with host.lock:
        if device.gate is _CLOSED:
            return False
        command.phase = _QUEUED
        host.enqueue(command, first=True)
        if leave is None:
            return True
        host.block(leave)
        idle = not (device.busy or leave.busy)
    if idle:  # nothing of it comes back that would open it again
        if leave is host:
            delay_s *= max(1, host.max_host_blocked)
        host.clock.call_later(delay_s, partial(_unblock, device, host))
    return True


def _unblock(device: LogicalUnit, host: Host) -> None:
    with host.lock:
        host.unblock(device)
    run_queues(host)


def _wait(command: Command) -> None:
    lock = threading.Lock()
    lock.acquire()
    command.waiter = lock.release
    poll = command.device.host.poll
    if poll is not None:
        poll(command)
    if command.phase is not _FINISHED:
        lock.acquire()
