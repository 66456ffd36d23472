"""One connection of an initiator: its thread, its lock, its commands.

::

    receive ──> take_events ──> dispatch.submit ──> finished ──> settle, respond ──┐
       ^                                               (any thread)                │
       └────────────────────────────── flush <─────────────────────────────────────┘

What ends while its thread works on what was received is gathered, and goes out in one piece when all of that
is done. What ends later goes out at once, from the thread in which it ended.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from _thread import get_ident
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from midlayer.frontends.target import copies, lun_commands, outcome
from midlayer.frontends.target.export import ExportedLun, LunMap, reported_lun
from midlayer.frontends.target.functions import carry_out
from midlayer.frontends.target.gathering import Gathered, TaskCommand
from midlayer.frontends.target.sending import BufferPool, send_all
from midlayer.frontends.target.transfer import INVALID_FIELD_IN_CDB, LENGTHS, WHOLE, fitted
from midlayer.iscsi.codes import AsyncEvent, TaskAttribute
from midlayer.iscsi.names import port_name, transport_id
from midlayer.iscsi.target import TargetConnection
from midlayer.iscsi.target_events import (
    Broken,
    FunctionRequest,
    LoggedIn,
    LoggedOut,
    LoginFailed,
    TargetEvent,
)
from midlayer.iscsi.target_login import TargetPolicy
from midlayer.iscsi.task import Task
from midlayer.mid.command import Command, Phase
from midlayer.mid.dispatch import submit
from midlayer.mid.nexus import LOCAL, Nexus
from midlayer.standards.opcodes import Opcode

if TYPE_CHECKING:
    from midlayer.mid.clock import Clock, Timer

_log = logging.getLogger("midlayer.target")

LOGIN_S = 15.0
"""How long a login may take."""

PING_S = 20.0
"""How often a silent initiator is asked whether it is there; one that does not answer in time is dropped."""

COMMAND_TIMEOUT_S = 60.0
TIMEOUTS_S: dict[int, float] = dict.fromkeys((Opcode.FORMAT_UNIT, Opcode.SANITIZE), 7 * 86400.0)
"""For commands that may take as long as a disk needs to write all of its blocks."""

FLUSH_ABOVE_BYTES = 1 << 21
"""Data that is gathered before it is sent: 8 reads of 256 KiB. For each sendmsg the initiator is woken."""

LONGEST_READ_BYTES = 64 << 20

_FINISHED = Phase.FINISHED
_SIMPLE = TaskAttribute.SIMPLE
_REPORT_LUNS = Opcode.REPORT_LUNS
_COPY = Opcode.THIRD_PARTY_COPY_OUT
_READS_ONLY = lun_commands.READS_ONLY


class Session:
    """A connection that was accepted; `run` is its thread.

    Args:
        connection: The socket.
        peer: Its address, for people.
        policy: Who may come in.
        clock: For time-outs.

    Attributes:
        iscsi: The protocol; `lock` is held for every use of it.
        luns: What the initiator sees; empty until it has logged in.
        nexus: Where its commands come from.
        portal_group: Which of the target's portal groups the connection came through.
        peer: The initiator's address.
        commands: How many there were.
        heard: How often something was received.
        began: True once the login is over.
        ended_because: Why it ended; empty while it has not.
        aborting: Tags of tasks that are being aborted: what they come to is not told to the initiator.
        siblings: Returns all sessions of the same target, this one included.
    """

    def __init__(self, connection: socket.socket, peer: str, policy: TargetPolicy, clock: Clock) -> None:
        self.iscsi = TargetConnection(policy, os.urandom)
        self.lock = threading.Lock()
        self.luns: LunMap = {}
        self.nexus: Nexus = LOCAL
        self.peer = peer
        self.portal_group = 1
        self.commands = 0
        self.began = False
        self.ended_because = ""
        self.aborting: set[int] = set()
        self.siblings: Callable[[], list[Session]] = lambda: [self]
        self._socket = connection
        self._clock = clock
        self._pool = BufferPool()
        self._gathered = Gathered(self._pool)
        self._thread_id = 0
        self._borrows = True
        self.heard = 0
        self._heard_before = -1
        self._sending = False
        self._timer: Timer = clock.call_later(LOGIN_S, self._login_timed_out)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        """Serve the connection until it ends."""
        self._thread_id = get_ident()
        try:
            self._serve()
        except OSError as error:
            self.ended_because = self.ended_because or error.strerror or str(error)
        except Exception:
            _log.exception("%s: the session ends for a mistake of ours", self)
        finally:
            self._end()

    def drop(self, reason: str) -> None:
        """End the connection from outside; its thread ends soon after."""
        self.ended_because = self.ended_because or reason
        with suppress(OSError):  # it is closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def dismiss(self, reason: str) -> None:
        """End the connection from outside, and tell the initiator first, if that takes no waiting."""
        self.ended_because = self.ended_because or reason
        self._send_now(lambda: self.iscsi.send_async(AsyncEvent.DROP_ALL_CONNECTIONS))
        self.drop(reason)

    def end_silently(self, reason: str) -> None:
        """End at once: what its commands come to is not sent any more."""
        self.drop(reason)  # first, because a thread may hold the lock while it sends
        with self.lock:
            self.iscsi.lost()
        self._leave()  # and not later, when the same port may have come back

    def hung_up(self) -> bool:
        """Say whether the initiator has closed the connection, though the thread may not know it yet."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def flush(self) -> None:
        """Send what waits."""
        with self.lock:
            self._flush()

    def __str__(self) -> str:
        name = self.iscsi.identity.initiator_name or "an initiator"
        return f"{name} from {self.peer}"

    # The connection's thread

    def _serve(self) -> None:
        receive, iscsi, lock, reader = self._socket.recv_into, self.iscsi, self.lock, self.iscsi.reader
        command = self._command
        while not iscsi.closed:
            count = receive(reader.room())
            if not count:
                self.ended_because = self.ended_because or "the initiator closed the connection"
                return
            self.heard += 1
            with lock:
                reader.received(count)
                events = iscsi.take_events()
            for event in events:
                if type(event) is Task:
                    command(event)
                else:
                    self._settle()  # what it is about may have ended already
                    self._other(event)
            self._settle(flush=True)

    def _command(self, task: Task) -> None:
        """Hand one command to its device."""
        self.commands += 1
        cdb, room = task.cdb, task.expected_bytes
        opcode = cdb[0]
        exported = self.luns.get(task.lun)
        device = exported.device() if exported is not None else None
        if device is None or exported is None or opcode == _REPORT_LUNS:
            self._answer(task, present=device is not None)
            return
        if exported.read_only and opcode not in _READS_ONLY:
            self._respond(task, 2, lun_commands.WRITE_PROTECTED, residual=room)
            return
        if task.attribute > _SIMPLE:
            self._settle(flush=True)  # what reads before it were lent is not to have what it writes
        lengths = LENGTHS.get(opcode)
        if lengths is None:
            if refusal := self._refusal(task, exported):
                self._respond(task, 2, refusal, residual=room)
                return
        elif (wanted := lengths(cdb)) * exported.block_bytes > room:
            cdb, room = fitted(task, cdb, wanted, exported.block_bytes)
            if not room:
                self._respond(task, 0, residual=-task.overflow_bytes)
                return
        data_in = None
        if task.read and room:
            data_in = self._pool.take(min(LONGEST_READ_BYTES, room))
        command = TaskCommand(
            device,
            cdb,
            task.data_out,
            data_in,
            COMMAND_TIMEOUT_S if lengths is not None else TIMEOUTS_S.get(opcode, COMMAND_TIMEOUT_S),
            0,
            True,
            self._finished_read_only if exported.read_only else self._finished,
        )
        command.task, command.buffer = task, data_in
        command.nexus = self.nexus
        command.borrows = self._borrows
        task.owner = command
        submit(command)
        if command.phase is not _FINISHED:
            if task.data_out is not None:
                with self.lock:
                    self.iscsi.reader.keep()
        elif self._gathered.data_bytes + self.iscsi.output_bytes > FLUSH_ABOVE_BYTES:
            self._settle(flush=True)

    def _refusal(self, task: Task, exported: ExportedLun) -> bytes:
        """Return sense data for what must not reach a device; nothing for all else."""
        opcode = task.cdb[0]
        if opcode == _COPY:
            return copies.refusal(task.cdb, task.data_out, self.luns.values()) or b""
        whole = WHOLE.get(opcode)
        if whole is not None and 0 < whole(task.cdb) * exported.block_bytes < task.expected_bytes:
            return INVALID_FIELD_IN_CDB
        return b""

    def _answer(self, task: Task, *, present: bool) -> None:
        """Answer what no device is asked for."""
        well_known = task.lun == lun_commands.REPORT_LUNS_WELL_KNOWN
        try:
            if task.cdb[0] == _REPORT_LUNS and (present or well_known or not any(task.lun)):
                data = lun_commands.report_luns(task.cdb, self._reported())
            else:
                data = lun_commands.answer_for_missing(task.cdb)
        except lun_commands.Refusal as refusal:
            self._respond(task, 2, refusal.sense, residual=task.expected_bytes)
            return
        room = task.expected_bytes if task.read else 0
        self._respond(task, 0, data=data[:room], residual=room - len(data) if task.read else 0)

    def _reported(self) -> list[bytes]:
        """Return the LUNs that the initiator sees and that have a device, in order."""
        seen = {id(exported): exported for exported in self.luns.values()}
        there = [exported for exported in seen.values() if exported.device() is not None]
        return [reported_lun(exported.spec.lun) for exported in there]

    def _other(self, event: TargetEvent) -> None:
        match event:
            case FunctionRequest():
                carry_out(self, event)
            case LoggedIn(identity):
                name = identity.initiator_name
                port = port_name(name, identity.isid)
                self.nexus = Nexus(port, transport_id(name, identity.isid), self.portal_group)
                # What is borrowed may change before it is sent, which a digest would not forgive.
                self._borrows = self.iscsi.parameters.choice("DataDigest") == "None"
                self.began = True
                self._timer.cancel()
                self._timer = self._clock.call_later(PING_S, self._tick)
            case LoginFailed(identity, error):
                self.ended_because = str(error)
                _log.warning("%s: login to %s: %s", self, identity.target_name or "discovery", error)
            case LoggedOut():
                self.ended_because = "logged out"
                self._leave()  # what the initiator left is gone when it reads our response
            case Broken(error):
                self.ended_because = str(error)
                _log.warning("%s: %s", self, error)

    # Any thread

    def _finished(self, command: Command) -> None:
        """A device is done with a command."""
        assert isinstance(command, TaskCommand)
        task, buffer, own_thread = command.task, command.buffer, get_ident() == self._thread_id
        task.owner = None  # each has the other, which only the garbage collector would find out
        if own_thread and self._gathered.take(command):
            return
        with self.lock:
            if task.tag in self.aborting:
                self.iscsi.abort(task)
                return
            self.iscsi.respond(task, *outcome.of(task, command))
            if buffer is not None and not command.host_byte:  # else the driver may still have it
                self._pool.lent.append(buffer)
            if not own_thread:
                self._flush()

    def _finished_read_only(self, command: Command) -> None:
        """The same, for an export that has to say that it is write-protected."""
        if command.data_in is not None:
            command.data_in = lun_commands.show_write_protection(command.cdb, command.data_in)
        self._finished(command)

    def _settle(self, *, flush: bool = False) -> None:
        """Respond to what was gathered; called in the connection's thread."""
        if not self._gathered and not (flush and self.iscsi.output):
            return
        with self.lock:
            self._gathered.respond(self.iscsi)
            if flush:
                self._flush()

    def _respond(
        self, task: Task, status: int, sense: bytes = b"", data: bytes = b"", residual: int = 0
    ) -> None:
        with self.lock:
            self.iscsi.respond(task, status, sense, data, residual)

    def _flush(self) -> None:
        """Send what waits; the lock is held."""
        total = self.iscsi.output_bytes
        output = self.iscsi.take_output()
        if not output:
            return
        try:
            send_all(self._socket, output, total)
        except OSError as error:
            self.drop(error.strerror or str(error))
        if self._pool.lent:
            self._pool.sent()

    # The clock's thread

    def _login_timed_out(self) -> None:
        if not self.began:
            self.drop(f"the login took more than {LOGIN_S:g} s")

    def _tick(self) -> None:
        """Look after an initiator that has said nothing for a while."""
        if self.iscsi.closed:  # and its thread still sends, or the timer would have been cancelled
            self.drop("the initiator does not take the last answer")
            return
        silent, self._heard_before = self.heard == self._heard_before, self.heard
        if silent and not self._ask():
            self.drop(f"the initiator said nothing for {2 * PING_S:g} s")
            return
        self._timer = self._clock.call_later(PING_S, self._tick)

    def _ask(self) -> bool:
        """Send a ping without waiting; False if an earlier one was not answered, or nothing can be sent."""
        if self.iscsi.pings:
            return False
        sent = self._send_now(self.iscsi.ping)
        if sent is None:
            stuck, self._sending = self._sending, True
            return not stuck  # twice in a row: what is being sent is not taken
        self._sending = False
        return sent

    def _send_now(self, put: Callable[[], None]) -> bool | None:
        """Send what `put` makes, without waiting; None if another thread sends, False if there is no room."""
        if not self.lock.acquire(blocking=False):
            return None
        try:
            put()
            total = self.iscsi.output_bytes
            pieces = self.iscsi.take_output()
            # Not joined: what was lent is for the kernel to touch, which survives when it is gone.
            return self._socket.sendmsg(pieces, (), socket.MSG_DONTWAIT) == total
        except OSError:
            return False
        finally:
            self.lock.release()

    def _end(self) -> None:
        self._timer.cancel()
        with self.lock:
            if self.iscsi.output:
                self._flush()
            self.iscsi.lost()
        self._leave()
        self._socket.close()

    def _leave(self) -> None:
        """Abort what is under way, and tell the drivers that the I_T nexus is gone."""
        outcome.abandon(self.iscsi.tasks.values())
        with self.lock:
            luns, self.luns = self.luns, {}
        for exported in set(luns.values()) if self.nexus is not LOCAL else ():
            device = exported.device()
            if device is not None:
                device.host.template.nexus_lost(device, self.nexus)
