"""A connection as the initiator has it: bytes in; answers out; commands in; bytes out.

::

    connection = InitiatorConnection(Wishes(...), random)
    socket.sendmsg(connection.take_output())                     the first login request
    connection.reader.received(socket.recv_into(connection.reader.room()))
    while (event := connection.next_event()) is not None:
        match event:
            case SessionBegun(): connection.submit(InitiatorTask(...))
            case TaskEnded(task): ...
    socket.sendmsg(connection.take_output())

Data-In goes straight from the socket to the task's buffer. Every error ends the connection: at error
recovery level 0 a new login is the only way on.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from midlayer.iscsi import pdu, text
from midlayer.iscsi.codes import NO_TAG, AsyncEvent, LoginStatus, LogoutResponse, Opcode
from midlayer.iscsi.errors import IscsiError, ProtocolError
from midlayer.iscsi.initiator_events import (
    FunctionAnswered,
    InitiatorEvent,
    InitiatorTask,
    LogoutAnswered,
    MessageCame,
    PingAnswered,
    Rejected,
    SessionBegun,
    TaskEnded,
    TextAnswered,
)
from midlayer.iscsi.initiator_login import InitiatorLogin, Wishes
from midlayer.iscsi.initiator_requests import InitiatorRequests
from midlayer.iscsi.negotiation import Parameters
from midlayer.iscsi.reader import Data
from midlayer.iscsi.serial import HALF, MASK
from midlayer.iscsi.state import FROM_TARGET, Event, State

_unpack = Struct(">BBBB12xI4xIIIIII").unpack
"""What Data-In and SCSI Response have in common; other PDUs have the numbers at the same place."""

_HAS_STATUS, _UNDERFLOW, _OVERFLOW = 0x01, 0x02, 0x04
_DATA_IN, _SCSI_RESPONSE = int(Opcode.DATA_IN), int(Opcode.SCSI_RESPONSE)
_LOGGED_IN, _CLOSED = State.LOGGED_IN, State.CLOSED
_TAKES_STAT_SN = frozenset(
    {
        Opcode.SCSI_RESPONSE,
        Opcode.TASK_MANAGEMENT_RESPONSE,
        Opcode.TEXT_RESPONSE,
        Opcode.LOGOUT_RESPONSE,
        Opcode.ASYNC,
        Opcode.REJECT,
    }
)


class InitiatorConnection(InitiatorRequests):
    """One connection, which is one session. The first login request is in `output` from the start.

    Args:
        wishes: Whom to meet, and how.
        random: Gives random bytes, for challenges.

    Attributes:
        identity: Who meets whom; with the TSIH once the session has begun.
        moved_to: Where the target says that it has moved to, if the login failed for that.
        logout_requested: True once the target has asked for a logout.
    """

    __slots__ = ("_login", "_text", "identity", "logout_requested")

    def __init__(self, wishes: Wishes, random: Callable[[int], bytes]) -> None:
        super().__init__(Parameters(wishes.wanted))
        self._login = InitiatorLogin(wishes, self.parameters, random)
        self._text = text.TextGatherer()
        self.identity = self._login.identity
        self.logout_requested = False
        header, body = self._login.begin()
        self._send_ready(header, body, len(body))

    @property
    def moved_to(self) -> str:
        """Address of a target that moved, with its port and group tag."""
        return self._login.moved_to

    @property
    def refused_with(self) -> LoginStatus | None:
        """Status of the login response with which the target refused us, if it did."""
        return self._login.refused_with

    def next_event(self) -> InitiatorEvent | None:
        """Return what came next, or None until more bytes have been received.

        Raises:
            LoginError: The target refused the login, or answered it with what can not be.
            ProtocolError: The target broke a rule. After either, the connection is closed.
        """
        try:
            while self.state is not _CLOSED and (received := self.reader.next()) is not None:
                event = self._take(*received)
                if event is not None:
                    return event
        except IscsiError:
            self._advance(Event.LOST)
            raise
        return None

    def _take(self, header: bytes, ahs: bytes, data: Data) -> InitiatorEvent | None:
        first, flags, response, status, tag, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn, offset, residual = (
            _unpack(header)
        )
        opcode = first & 0x3F
        if self.state is not _LOGGED_IN or opcode not in _IN_SESSION:
            if opcode not in FROM_TARGET[self.state]:
                raise ProtocolError(f"the target sent opcode {opcode:#04x}, which can not come now")
            if opcode == Opcode.LOGIN_RESPONSE:
                return self._take_login(header, data)
        if flags & _HAS_STATUS if opcode == _DATA_IN else _takes_stat_sn(opcode, header):
            if stat_sn != self._exp_stat_sn:
                raise ProtocolError(f"StatSN {stat_sn} came where {self._exp_stat_sn} was expected")
            self._exp_stat_sn = stat_sn + 1 & MASK
        if max_cmd_sn != self._max_cmd_sn:
            self._move_window(exp_cmd_sn, max_cmd_sn)
        if opcode == _DATA_IN:
            return self._take_data_in(flags, status, tag, data_sn, offset, residual, data)
        if opcode == _SCSI_RESPONSE:
            return self._take_response(flags, response, status, tag, residual, data)
        return _HANDLERS[opcode](self, header, data)

    def _move_window(self, exp_cmd_sn: int, max_cmd_sn: int) -> None:
        # `distance`, spelled out: at least -1 after the first number, and above 0 after our own end
        if max_cmd_sn - exp_cmd_sn + 1 & MASK < HALF and 0 < max_cmd_sn - self._max_cmd_sn & MASK < HALF:
            self._max_cmd_sn = max_cmd_sn
            if self.waiting:
                self._send_waiting()

    def _take_login(self, header: bytes, data: Data) -> InitiatorEvent | None:
        login = self._login
        request = login.handle(header, data)
        if request is not None:
            self._send_ready(*request, len(request[1]))
            return None
        self._cmd_sn, self._exp_stat_sn = login.cmd_sn, login.exp_stat_sn
        self._max_cmd_sn = login.max_cmd_sn
        self._begin_full_feature()
        self._go_by_parameters()
        self.reader.place = self._place
        return SessionBegun(self.identity)

    def _place(self, header: bytes, length: int) -> memoryview | None:
        if header[0] & 0x3F != _DATA_IN:
            return None
        tag, offset = int.from_bytes(header[16:20], "big"), int.from_bytes(header[40:44], "big")
        task = self.tasks.get(tag)
        return None if task is None else self._room(task, offset, length)

    @staticmethod
    def _room(task: InitiatorTask, offset: int, length: int) -> memoryview:
        room = task.data_in
        if room is None or offset != task.received_bytes or offset + length > len(room):
            raise ProtocolError("Data-In that was not asked for, or is out of order")
        return room[offset : offset + length]

    def _take_data_in(  # noqa: PLR0917 (called for every read)
        self, flags: int, status: int, tag: int, data_sn: int, offset: int, residual: int, data: Data
    ) -> InitiatorEvent | None:
        task = self.tasks.get(tag)
        if task is None:
            return None  # aborted: its data was on the way
        if data_sn != task.data_sn:
            raise ProtocolError("Data-In out of order")
        length = len(data)
        if length:
            room = self._room(task, offset, length)
            if not (isinstance(data, memoryview) and data.obj is room.obj):
                room[:] = data
        task.data_sn += 1
        task.received_bytes += length
        if not flags & _HAS_STATUS:
            return None
        return self._end(task, flags, status, residual)

    def _take_response(  # noqa: PLR0917 (called for every write)
        self, flags: int, response: int, status: int, tag: int, residual: int, data: Data
    ) -> InitiatorEvent | None:
        task = self.tasks.get(tag)
        if task is None:
            return None
        task.response = response
        if len(data) >= 2:
            length = int.from_bytes(data[:2], "big")
            task.sense = bytes(data[2 : 2 + length])
        return self._end(task, flags, status, residual)

    def _end(self, task: InitiatorTask, flags: int, status: int, residual: int) -> TaskEnded:
        del self.tasks[task.tag]
        task.status = status
        task.residual = residual if flags & _UNDERFLOW else -residual if flags & _OVERFLOW else 0
        return TaskEnded(task)

    def _take_r2t(self, header: bytes, data: Data) -> InitiatorEvent | None:
        request = pdu.R2T.decode(header)
        task = self.tasks.get(request.initiator_task_tag)
        if task is None:
            return None
        start = request.buffer_offset
        end = start + request.desired_data_transfer_length
        if task.data_out is None or not start < end <= len(task.data_out):
            raise ProtocolError("an R2T for data that the command does not have")
        self._send_data(task, request.target_transfer_tag, start, end)
        return None

    def _take_function(self, header: bytes, data: Data) -> InitiatorEvent | None:
        answer = pdu.TaskManagementResponse.decode(header)
        return FunctionAnswered(answer.initiator_task_tag, answer.response)

    def _take_nop_in(self, header: bytes, data: Data) -> InitiatorEvent | None:
        answer = pdu.NopIn.decode(header)
        if answer.target_transfer_tag != NO_TAG:
            self._send(self._nop_out(NO_TAG, answer.target_transfer_tag, answer.lun))
        if answer.initiator_task_tag == NO_TAG:
            return None
        return PingAnswered(answer.initiator_task_tag, bytes(data))

    def _take_text(self, header: bytes, data: Data) -> InitiatorEvent | None:
        answer = pdu.TextResponse.decode(header)
        self._text.add(data)
        if not answer.final:
            self._request_text(answer.initiator_task_tag, answer.target_transfer_tag, b"")
            return None
        # Several targets come as several TargetName keys in one text: here a key may come twice.
        return TextAnswered(answer.initiator_task_tag, self._text.take(repeated=True))

    def _take_logout(self, header: bytes, data: Data) -> InitiatorEvent | None:
        answer = pdu.LogoutResponse.decode(header)
        if answer.response == LogoutResponse.CLOSED:
            self._advance(Event.LOGOUT_DONE)
        return LogoutAnswered(answer.response, answer.time2wait, answer.time2retain)

    def _take_async(self, header: bytes, data: Data) -> InitiatorEvent | None:
        message = pdu.AsyncMessage.decode(header)
        if message.async_event == AsyncEvent.REQUEST_LOGOUT:
            self.logout_requested = True
        sense = b""
        if message.async_event == AsyncEvent.SCSI_EVENT and len(data) >= 2:
            sense = bytes(data[2 : 2 + int.from_bytes(data[:2], "big")])
        return MessageCame(
            message.async_event,
            message.async_vcode,
            (message.parameter1, message.parameter2, message.parameter3),
            message.lun,
            sense,
        )

    def _take_reject(self, header: bytes, data: Data) -> InitiatorEvent | None:
        reject = pdu.Reject.decode(header)
        refused = bytes(data[:48])
        task = None
        if len(refused) == 48 and refused[0] & 0x3F in (Opcode.SCSI_COMMAND, Opcode.DATA_OUT):
            task = self.tasks.pop(int.from_bytes(refused[16:20], "big"), None)
        return Rejected(reject.reason, refused, task)


_HANDLERS: dict[int, Callable[[InitiatorConnection, bytes, Data], InitiatorEvent | None]] = {
    Opcode.R2T: InitiatorConnection._take_r2t,
    Opcode.TASK_MANAGEMENT_RESPONSE: InitiatorConnection._take_function,
    Opcode.NOP_IN: InitiatorConnection._take_nop_in,
    Opcode.TEXT_RESPONSE: InitiatorConnection._take_text,
    Opcode.LOGOUT_RESPONSE: InitiatorConnection._take_logout,
    Opcode.ASYNC: InitiatorConnection._take_async,
    Opcode.REJECT: InitiatorConnection._take_reject,
}
_IN_SESSION = FROM_TARGET[State.LOGGED_IN]


def _takes_stat_sn(opcode: int, header: bytes) -> bool:
    """Say whether a PDU other than Data-In takes up a StatSN: NOP-In does as an answer."""
    if opcode == Opcode.NOP_IN:
        return int.from_bytes(header[16:20], "big") != NO_TAG
    return opcode in _TAKES_STAT_SN
