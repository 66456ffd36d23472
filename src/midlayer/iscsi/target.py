"""A connection as the target has it: bytes in; tasks and functions out; responses in; bytes out.

::

    connection.reader.received(socket.recv_into(connection.reader.room()))
    for event in connection.take_events():
        match event:
            case Task(): ...              connection.respond(event, status, ...), now or later
            case FunctionRequest(): ...   connection.respond_function(event, response)
            case LoggedIn() | LoggedOut(): ...
    socket.sendmsg(connection.take_output())
    if connection.closed: ...

A rule that the initiator breaks is answered with a Reject and the end of the connection, which at error
recovery level 0 is the end of the session (RFC 7143 7.1.4.1).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from midlayer.iscsi import negotiation, pdu, text
from midlayer.iscsi.codes import (
    HEADER_BYTES,
    NO_TAG,
    AhsType,
    LogoutReason,
    LogoutResponse,
    Opcode,
    RejectReason,
)
from midlayer.iscsi.errors import DigestError, ProtocolError
from midlayer.iscsi.negotiation import Parameters, Value
from midlayer.iscsi.reader import Data
from midlayer.iscsi.serial import MASK, add, in_window
from midlayer.iscsi.state import FROM_INITIATOR, FROM_INITIATOR_IN_DISCOVERY, Event, State
from midlayer.iscsi.target_events import (
    Broken,
    FunctionRequest,
    LoggedIn,
    LoggedOut,
    LoginFailed,
    TargetEvent,
)
from midlayer.iscsi.target_login import TargetLogin, TargetPolicy
from midlayer.iscsi.target_writes import TargetWrites
from midlayer.iscsi.task import CDB_BYTES, Task, trimmed_cdb

WINDOW = 128
"""Commands that an initiator may have on its way."""

MAX_IMMEDIATE = 64
"""Immediate commands beyond the window that it may have on its way."""

_command_layout = Struct(">BBxxI8sIIII16s")
_unpack_command, _unpack_command_from = _command_layout.unpack, _command_layout.unpack_from
_cmd_sn_of = Struct(">24xI20x").unpack
_WRITE, _FINAL, _IMMEDIATE = 0x20, 0x80, 0x40
_VARIABLE_LENGTH = 0x7F
_COMMAND = Opcode.SCSI_COMMAND.value
_LOGGED_IN = State.LOGGED_IN

_SEQUENCED = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TASK_MANAGEMENT, Opcode.TEXT, Opcode.LOGOUT}
)


class TargetConnection(TargetWrites):
    """One connection, which is one session.

    Args:
        policy: Who may come in.
        random: Gives random bytes, for challenges.
        wanted: Our wishes by key, over `negotiation.OURS`.

    Attributes:
        identity: Who is there.
        tasks: Tasks that were not responded to, by tag.
        pings: NOP-Ins of ours that were not answered.
    """

    __slots__ = (
        "_allowed",
        "_commands",
        "_login",
        "_most_immediate_bytes",
        "_policy",
        "_ready",
        "_text",
        "_text_rest",
        "identity",
    )

    def __init__(
        self,
        policy: TargetPolicy,
        random: Callable[[int], bytes],
        wanted: dict[str, Value] | None = None,
    ) -> None:
        super().__init__(Parameters(wanted or {}))
        self._policy = policy
        self._login = TargetLogin(policy, self.parameters, random, WINDOW)
        self.identity = self._login.identity
        self._allowed: frozenset[int] = FROM_INITIATOR[State.IN_LOGIN]
        self._commands = False  # they may come
        self._most_immediate_bytes = 0
        self._ready: list[TargetEvent] = []
        self._text = text.TextGatherer()
        self._text_rest = b""

    # Bytes in

    def take_events(self) -> list[TargetEvent]:
        """Return all that has come, in order."""
        events: list[TargetEvent] = []
        while not self._take_plain(events):
            event = self.next_event()
            if event is None:
                break
            events.append(event)
        return events

    def _take_plain(self, events: list[TargetEvent]) -> bool:
        """Take commands that came in order and whole, as long as nothing else comes; True if all is taken.

        Nearly all that comes is that, and `next_event` makes the same of it in three times the time. What is
        out of the ordinary in any way, or against the rules, is left to `next_event`.
        """
        ahead = self.reader.ahead()
        if ahead is None or not self._commands or self._held or self._ready or self.state is not _LOGGED_IN:
            return False
        memory, at, end = ahead
        tasks, expected_sn, most = self.tasks, self._exp_cmd_sn, self._most_immediate_bytes
        while end - at >= HEADER_BYTES:
            # `lengths` is that of the data alone if there is no additional header segment.
            first, flags, lengths, lun, tag, expected, cmd_sn, _, cdb = _unpack_command_from(memory, at)
            opcode = cdb[0]
            if first != _COMMAND or cmd_sn != expected_sn or tag in tasks or tag == NO_TAG:
                break
            body = at + HEADER_BYTES
            after = body + lengths + (-lengths & 3)
            if flags & _WRITE:
                if not (0 < lengths == expected <= most and flags & _FINAL and after <= end):
                    break
            elif lengths:
                break
            if opcode == _VARIABLE_LENGTH:
                break
            task = tasks[tag] = Task(tag, lun, cdb[: CDB_BYTES[opcode]], flags, expected, cmd_sn, True)
            if lengths:
                task.data_out = memory[body : body + lengths]
            events.append(task)
            at, expected_sn = after, cmd_sn + 1 & MASK
        self._exp_cmd_sn = expected_sn
        self.reader.skip(at)
        return at == end

    def next_event(self) -> TargetEvent | None:
        """Return what came next, or None until more bytes have been received."""
        while self.state is not State.CLOSED:
            if self._ready:
                return self._ready.pop(0)
            header = b""
            try:
                received = self.reader.next()
                if received is None:
                    return None
                header, ahs, data = received
                event = self._take(header, ahs, data)
            except ProtocolError as error:
                return self._break(header, error)
            if event is not None:
                return event
        return self._ready.pop(0) if self._ready else None

    def _take(self, header: bytes, ahs: bytes, data: Data) -> TargetEvent | None:
        if header[0] == _COMMAND and self._commands and not self._held:  # nearly all that comes
            (cmd_sn,) = _cmd_sn_of(header)
            if cmd_sn == self._exp_cmd_sn:
                self._exp_cmd_sn = cmd_sn + 1 & MASK
                return self._take_command(header, ahs, data)
        opcode = header[0] & 0x3F
        if opcode not in self._allowed:
            if self.state is State.IN_LOGIN:  # nothing but a login may come; the connection just ends (6.3)
                self._advance(Event.LOST)
            raise ProtocolError(f"opcode {opcode:#04x} can not come now", RejectReason.COMMAND_NOT_SUPPORTED)
        if opcode in _SEQUENCED and not header[0] & _IMMEDIATE:
            (cmd_sn,) = _cmd_sn_of(header)
            if cmd_sn != self._exp_cmd_sn:
                self._hold(cmd_sn, header, ahs, data)
                return None
            self._exp_cmd_sn = cmd_sn + 1 & MASK
            if self._held:
                self._take_held(header, ahs, data)
                return None
        return _HANDLERS[opcode](self, header, ahs, data)

    def _hold(self, cmd_sn: int, header: bytes, ahs: bytes, data: Data) -> None:
        """Keep a command until those before it have come; drop one outside of the window (4.2.2.1)."""
        if in_window(cmd_sn, self._exp_cmd_sn, self._max_cmd_sn):
            self._held.setdefault(cmd_sn, (header, ahs, bytes(data)))

    def _take_held(self, header: bytes, ahs: bytes, data: Data) -> None:
        """A gap was closed: take this command and those that waited behind it."""
        waiting: tuple[bytes, bytes, Data] | None = (header, ahs, bytes(data))
        while waiting is not None:
            event = _HANDLERS[waiting[0][0] & 0x3F](self, *waiting)
            if event is not None:
                self._ready.append(event)
            waiting = self._held.pop(self._exp_cmd_sn, None)
            if waiting is not None:
                self._exp_cmd_sn = add(self._exp_cmd_sn, 1)

    def _take_login(self, header: bytes, ahs: bytes, data: Data) -> TargetEvent | None:
        login = self._login
        response, body = login.handle(header, data)
        self._send_ready(response, body, len(body))
        if login.failure is not None:
            self._ready.append(LoginFailed(self.identity, login.failure))
            self._advance(Event.LOGIN_FAILED)
        elif login.done:
            self._stat_sn, self._exp_cmd_sn = login.stat_sn, login.exp_cmd_sn
            self._max_cmd_sn = login.max_cmd_sn
            self._begin_full_feature()
            discovery = self.identity.discovery
            self._allowed = FROM_INITIATOR_IN_DISCOVERY if discovery else FROM_INITIATOR[self.state]
            self._commands = not discovery
            self._segment_bytes = self.parameters.peer_number("MaxRecvDataSegmentLength")
            if self.parameters.yes("ImmediateData"):
                first = self.parameters.number("FirstBurstLength")
                self._most_immediate_bytes = min(first, self.reader.max_data_bytes)
            self.reader.place = self._place
            return LoggedIn(self.identity)
        return None

    def _take_command(self, header: bytes, ahs: bytes, data: Data) -> TargetEvent | None:
        first, flags, _, lun, tag, expected, cmd_sn, _, cdb = _unpack_command(header)
        sequenced = not first & _IMMEDIATE
        if ahs or cdb[0] == _VARIABLE_LENGTH:
            extension = dict(pdu.additional_segments(ahs)).get(AhsType.EXTENDED_CDB, b"")
            cdb = trimmed_cdb(cdb, extension)
        else:
            cdb = cdb[: CDB_BYTES[cdb[0]]]
        task = Task(tag, lun, cdb, flags, expected, cmd_sn, sequenced)
        if tag in self.tasks or not sequenced or tag == NO_TAG:
            self._admit(task)
        if not flags & _WRITE:
            if len(data):
                raise ProtocolError("immediate data without the W bit")
            self.tasks[tag] = task
            return task
        return self._begin_write(task, data, final=bool(flags & _FINAL))

    def _admit(self, task: Task) -> None:
        if task.tag in self.tasks or task.tag == NO_TAG:
            raise ProtocolError("a task tag that is in use", RejectReason.TASK_IN_PROGRESS)
        if not task.sequenced:
            self._immediate += 1
            if self._immediate > MAX_IMMEDIATE:
                raise ProtocolError("too many immediate commands", RejectReason.TOO_MANY_IMMEDIATE_COMMANDS)

    def _take_function(self, header: bytes, ahs: bytes, data: Data) -> TargetEvent | None:
        request = pdu.TaskManagement.decode(header)
        return FunctionRequest(
            request.function,
            request.initiator_task_tag,
            request.lun,
            request.referenced_task_tag,
            request.ref_cmd_sn,
            not request.immediate,
        )

    def _take_nop_out(self, header: bytes, ahs: bytes, data: Data) -> TargetEvent | None:
        request = pdu.NopOut.decode(header)
        self._finish_request(not request.immediate)
        if request.initiator_task_tag == NO_TAG:
            self.pings = 0
            return None
        self._status(
            pdu.NopIn(
                final=True,
                lun=request.lun,
                initiator_task_tag=request.initiator_task_tag,
                target_transfer_tag=NO_TAG,
                **self._numbers(),
            ),
            bytes(data[: self._segment_bytes]),
        )
        return None

    def _take_text(self, header: bytes, ahs: bytes, data: Data) -> TargetEvent | None:
        request = pdu.TextRequest.decode(header)
        self._finish_request(not request.immediate)
        self._text.add(data)
        if request.continues:
            self._send_text(request, b"")
        elif self._text_rest and request.target_transfer_tag != NO_TAG:
            self._text.take()
            self._send_text(request, self._text_rest)
        else:
            self._send_text(request, text.encode(self._text_answers(self._text.take())))
        return None

    def _text_answers(self, pairs: text.Pairs) -> text.Pairs:
        replies: text.Pairs = []
        for key, value in pairs:
            if key == "SendTargets":
                replies += self._send_targets(value)
                continue
            if key == "MaxRecvDataSegmentLength":
                negotiation.declare(self.parameters, key, value)
                self._segment_bytes = self.parameters.peer_number(key)
                continue
            known = key in negotiation.KEYS
            replies.append((key, text.REJECT if known else text.NOT_UNDERSTOOD))
        return replies

    def _send_targets(self, value: str) -> text.Pairs:
        """Answer SendTargets: All in a discovery session only, nothing for one's own target (C.1)."""
        identity = self.identity
        if value == "All":
            if not identity.discovery:
                return [("SendTargets", text.REJECT)]
        elif not value:
            if identity.discovery:
                return [("SendTargets", text.REJECT)]
            value = identity.target_name
        elif not identity.discovery and value.lower() != identity.target_name:
            return [("SendTargets", text.REJECT)]
        return self._policy.send_targets(identity, value)

    def _send_text(self, request: pdu.TextRequest, body: bytes) -> None:
        """Send text, or as much as the initiator takes at once; it asks for the rest with our tag."""
        piece, self._text_rest = body[: self._segment_bytes], body[self._segment_bytes :]
        more = bool(self._text_rest)
        self._status(
            pdu.TextResponse(
                final=request.final and not more,
                continues=more,
                lun=request.lun,
                initiator_task_tag=request.initiator_task_tag,
                target_transfer_tag=1 if more or not request.final else NO_TAG,
                **self._numbers(),
            ),
            piece,
        )

    def _take_logout(self, header: bytes, ahs: bytes, data: Data) -> TargetEvent | None:
        request = pdu.LogoutRequest.decode(header)
        self._finish_request(not request.immediate)
        answer = LogoutResponse.CLOSED
        if request.reason == LogoutReason.REMOVE_FOR_RECOVERY:
            answer = LogoutResponse.RECOVERY_NOT_SUPPORTED
        elif request.reason not in (LogoutReason.CLOSE_SESSION, LogoutReason.CLOSE_CONNECTION):
            raise ProtocolError("a logout for no reason of the RFC", RejectReason.INVALID_PDU_FIELD)
        elif request.reason == LogoutReason.CLOSE_CONNECTION and request.cid != self.identity.cid:
            answer = LogoutResponse.NO_SUCH_CID
        if answer is LogoutResponse.CLOSED:
            self._advance(Event.LOGOUT)
        self._status(
            pdu.LogoutResponse(
                final=True, response=answer, initiator_task_tag=request.initiator_task_tag, **self._numbers()
            )
        )
        if self.state is not State.IN_LOGOUT:
            return None
        self._advance(Event.LOGOUT_DONE)
        return LoggedOut(request.reason)

    def _take_snack(self, header: bytes, ahs: bytes, data: Data) -> TargetEvent | None:
        self._reject(header, RejectReason.SNACK_REJECT)  # there is nothing to be had again at level 0
        return None

    # Inside

    def _break(self, header: bytes, error: ProtocolError) -> TargetEvent:
        """Say what was wrong, and end the connection."""
        if self.state is State.LOGGED_IN and (header or isinstance(error, DigestError)):
            self._reject(header or bytes(48), error.reason)
        self._advance(Event.LOST)
        return Broken(error)


_HANDLERS: dict[int, Callable[[TargetConnection, bytes, bytes, Data], TargetEvent | None]] = {
    Opcode.LOGIN: TargetConnection._take_login,
    Opcode.NOP_OUT: TargetConnection._take_nop_out,
    Opcode.SCSI_COMMAND: TargetConnection._take_command,
    Opcode.TASK_MANAGEMENT: TargetConnection._take_function,
    Opcode.TEXT: TargetConnection._take_text,
    Opcode.DATA_OUT: TargetConnection._take_data_out,
    Opcode.LOGOUT: TargetConnection._take_logout,
    Opcode.SNACK: TargetConnection._take_snack,
}
