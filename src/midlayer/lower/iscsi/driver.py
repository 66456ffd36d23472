"""The driver: sessions as hosts, tasks for commands, task management for the error handler."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from threading import get_ident

from midlayer.iscsi.codes import Function, FunctionResponse, Response, TaskAttribute
from midlayer.iscsi.initiator_events import InitiatorTask, MessageCame
from midlayer.lower.iscsi.login import Connect, connect
from midlayer.lower.iscsi.session import Session
from midlayer.lower.iscsi.session_state import Owner, SessionState
from midlayer.lower.iscsi.spec import SessionSpec
from midlayer.mid import rescan
from midlayer.mid.command import Command, HostByte, Phase
from midlayer.mid.host import Host
from midlayer.mid.host_template import HOST_BUSY, HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.recovery_callbacks import FAILED, FAST_IO_FAIL, SUCCESS
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.task_management import block_requests, unblock_requests
from midlayer.standards.sam import lun_to_bytes
from midlayer.standards.sense import Sense, SenseKey

_log = logging.getLogger("midlayer.iscsi")

_JOIN_S = 60.0
_MOST_RESCANS = 2
_SIMPLE, _COMPLETED = int(TaskAttribute.SIMPLE), int(Response.COMPLETED)
_FINISHED = Phase.FINISHED
_LUNS_CHANGED = (0x3F, 0x0E)
_UNREACHABLE = frozenset({SessionState.FAILED, SessionState.CLOSED})


class IscsiDriver(HostTemplate):
    """Lower-level driver of iSCSI sessions. A host is one session; its one target is at 0:0."""

    name = "midlayer iSCSI initiator"
    proc_name = "iscsi"
    can_queue = 1024
    cmd_per_lun = 64
    max_cmd_len = 260
    max_id = 1
    max_lun = 1 << 16
    max_sectors = 65536
    scan_ahead = 64
    skip_settle_delay = True  # a new login is all that a host reset is

    def __init__(self, subsystem: Subsystem, *, dial: Connect = connect) -> None:
        self._subsystem = subsystem
        self._dial = dial

    def add_host(self, spec: SessionSpec, *, scan: bool = True, patient: bool = False) -> Host:
        """Log in to a target and bring up a host for the session.

        Args:
            spec: Whom to meet, and how.
            scan: False to leave the scan to the caller.
            patient: True to bring up the host even if the login fails; it is tried again and again, and
                the host is scanned when it succeeds.

        Raises:
            LoginFailed: If there is no session, unless `patient`.
        """
        host = self._subsystem.host_alloc(self, host_no=spec.host_no)
        host.name = f"iSCSI {spec.target}"
        host.cmd_per_lun = spec.queue_depth
        link = host.hostdata = _Link(self._subsystem, host, spec, self._dial)
        try:
            link.session.start(patient=patient)
            self._subsystem.add_host(host)
        except BaseException:
            host.put()
            raise
        if link.session.state is SessionState.LOGGED_IN and scan:
            self._subsystem.scan_host(host)
        link.scans = scan
        return host

    def remove_host(self, host: Host) -> None:
        """Take down a host with its devices, and log out."""
        self._subsystem.remove_host(host)
        host.put()

    # What the mid level calls; see `HostTemplate`.

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        device = command.device
        link: _Link = device.host.hostdata
        task = command.host_scribble = InitiatorTask(
            device.hostdata, command.cdb, command.data_out, command.data_in, _SIMPLE, (command, done)
        )
        session = link.session
        if session.submit(task):
            return 0
        if session.state in _UNREACHABLE:
            command.host_byte = HostByte.DID_TRANSPORT_FAILFAST
            command.residual = command.requested_bytes
            done(command)
            return 0
        return HOST_BUSY

    def poll(self, command: Command) -> None:
        self._poll(command)

    def poll_batch(self, command: Command) -> None:
        self._poll(command, batch=True)

    @staticmethod
    def _poll(command: Command, *, batch: bool = False) -> None:
        session = _session(command)
        finish = command.waiter

        def wake() -> None:
            if finish is not None:
                finish()
            if get_ident() != reader:
                session.wake()

        reader = get_ident()
        command.waiter = wake
        session.read_until(lambda: command.phase is _FINISHED, batch=batch)

    def slave_alloc(self, device: LogicalUnit) -> int:
        device.hostdata = lun_to_bytes(device.address.lun)
        return 0

    def info(self, host: Host) -> str:
        link: _Link | None = host.hostdata
        if link is None:
            return self.name
        spec = link.session.spec
        return f"iSCSI {spec.target} at {spec.portal}, {link.session.state.value}"

    def release(self, host: Host) -> None:
        link: _Link = host.hostdata
        link.close()

    def eh_abort_handler(self, command: Command) -> int:
        task: InitiatorTask = command.host_scribble
        answer = _session(command).manage(Function.ABORT_TASK, task=task)
        if answer is FunctionResponse.NO_SUCH_TASK:  # its answer is on the way, or was never to come
            _session(command).forget(lambda other: other is task)
            return SUCCESS
        return _outcome(command, answer)

    def eh_device_reset_handler(self, command: Command) -> int:
        lun: bytes = command.device.hostdata
        return self._reset(command, Function.LOGICAL_UNIT_RESET, lambda task: task.lun == lun)

    def eh_target_reset_handler(self, command: Command) -> int:
        return self._reset(command, Function.TARGET_WARM_RESET, lambda task: True)

    def eh_host_reset_handler(self, command: Command) -> int:
        """Drop the connection and log in again."""
        session = _session(command)
        back = session.reconnect("reset by the error handler", session.spec.login_timeout_s)
        return SUCCESS if back else FAST_IO_FAIL

    def _reset(self, command: Command, function: Function, ended: Callable[[InitiatorTask], bool]) -> int:
        session = _session(command)
        outcome = _outcome(command, session.manage(function, command.device.hostdata))
        if outcome == SUCCESS:
            session.forget(ended)
        return outcome


class _Link(Owner):
    """A host and its session: answers go up, the host is blocked while the session is lost.

    Attributes:
        session: The session.
        scans: True if a new login is to be followed by a scan: LUNs may have come and gone meanwhile.
    """

    def __init__(self, subsystem: Subsystem, host: Host, spec: SessionSpec, dial: Connect) -> None:
        self._subsystem = subsystem
        self._host = host
        self._rescanning: list[threading.Thread] = []
        self._one_rescan = threading.Lock()
        self.scans = False
        self.session = Session(spec, self, subsystem.clock, dial)

    def task_ended(self, task: InitiatorTask) -> None:
        command, done = task.owner
        command.status = task.status
        if task.sense:
            command.sense_data = task.sense
            self._look_for_lun_change(task.sense)
        if task.response != _COMPLETED:
            command.host_byte = HostByte.DID_ERROR
        if task.data_in is not None:
            command.residual = len(task.data_in) - task.received_bytes
        elif task.data_out is not None:
            command.residual = max(0, min(task.residual, len(task.data_out)))
        done(command)

    def task_lost(self, task: InitiatorTask) -> None:
        command, done = task.owner
        command.host_byte = HostByte.DID_TRANSPORT_DISRUPTED
        command.residual = command.requested_bytes
        done(command)

    def state_changed(self, state: SessionState) -> None:
        if state is SessionState.LOST:
            block_requests(self._host)
            return
        unblock_requests(self._host)
        if state is SessionState.LOGGED_IN and self.scans:
            self._begin_rescan()

    def message(self, message: MessageCame) -> None:
        self._look_for_lun_change(message.sense)

    def _look_for_lun_change(self, data: bytes) -> None:
        sense = Sense.decode(data)
        attention = sense is not None and sense.key == SenseKey.UNIT_ATTENTION
        if sense is not None and attention and (sense.asc, sense.ascq) == _LUNS_CHANGED:
            self._begin_rescan()

    def join(self) -> None:
        """Wait for the rescans that have begun."""
        for thread in list(self._rescanning):
            thread.join(_JOIN_S)

    def close(self) -> None:
        """End the session, and what it has begun."""
        self.scans = False
        self.session.close()
        self.join()

    def _begin_rescan(self) -> None:
        self._rescanning = [thread for thread in self._rescanning if thread.is_alive()]
        if len(self._rescanning) < _MOST_RESCANS:  # the last one has not begun: it will see everything
            thread = threading.Thread(target=self._rescan, name="midlayer-iscsi-rescan", daemon=True)
            self._rescanning.append(thread)
            thread.start()

    def _rescan(self) -> None:
        """Take in LUNs that came, and remove those that went and nobody uses."""
        with self._one_rescan:
            try:
                steps = rescan.plan(self._subsystem, self._host, remove=True)
                rescan.carry_out(self._subsystem, self._host, steps)
            except Exception:
                _log.exception("%s: the rescan after a change of LUNs failed", self._host.name)


def _session(command: Command) -> Session:
    link: _Link = command.device.host.hostdata
    return link.session


def _outcome(command: Command, answer: FunctionResponse | None) -> int:
    if answer is FunctionResponse.COMPLETE:
        return SUCCESS
    if answer is None and _session(command).state is not SessionState.LOGGED_IN:
        return FAST_IO_FAIL
    return FAILED
