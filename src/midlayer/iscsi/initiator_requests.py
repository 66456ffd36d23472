"""What an initiator sends: commands and their data, functions, text, pings, logout."""

from __future__ import annotations

from collections import deque
from struct import Struct

from midlayer.iscsi import pdu, text
from midlayer.iscsi.codes import NO_TAG, AhsType, LogoutReason
from midlayer.iscsi.connection import Connection
from midlayer.iscsi.data_in import data_in_pdus
from midlayer.iscsi.errors import ProtocolError
from midlayer.iscsi.initiator_events import InitiatorTask
from midlayer.iscsi.negotiation import Parameters
from midlayer.iscsi.serial import HALF, MASK, distance
from midlayer.iscsi.state import Event, State

_pack_command = Struct(">BBxxI8sIIII16s").pack
_pack_data_out = Struct(">BBxxI8sIIxxxxIxxxxIIxxxx").pack
_CDB_BYTES = 16
_LOGGED_IN = State.LOGGED_IN
_FINAL, _READ, _WRITE = 0x80, 0x40, 0x20


class InitiatorRequests(Connection):
    """The sending half of `midlayer.iscsi.initiator.InitiatorConnection`.

    Attributes:
        tasks: Tasks that the target has, by tag.
        waiting: Tasks that the target has no room for yet; they go out as it makes room.
    """

    __slots__ = (
        "_cmd_sn",
        "_exp_stat_sn",
        "_first_burst_bytes",
        "_immediate_bytes",
        "_max_cmd_sn",
        "_next_tag",
        "_segment_bytes",
        "tasks",
        "waiting",
    )

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.tasks: dict[int, InitiatorTask] = {}
        self.waiting: deque[InitiatorTask] = deque()
        self._cmd_sn = self._exp_stat_sn = self._max_cmd_sn = 0
        self._next_tag = 0
        self._segment_bytes = 8192
        self._first_burst_bytes = self._immediate_bytes = 0

    @property
    def window(self) -> int:
        """How many more commands the target takes now."""
        return max(0, distance(self._cmd_sn, self._max_cmd_sn) + 1)

    def submit(self, task: InitiatorTask) -> None:
        """Send a command, or keep it until the target has room.

        Raises:
            ProtocolError: If there is no session.
        """
        if self.state is not _LOGGED_IN:
            self._check_session()
        # `window`, spelled out; whether a number is 0 does not depend on which way it wraps
        ahead = self._max_cmd_sn - self._cmd_sn + 1 & MASK
        if self.waiting or not 0 < ahead < HALF:
            self.waiting.append(task)
        else:
            self._send_command(task)

    def manage(self, function: int, lun: bytes = bytes(8), task: InitiatorTask | None = None) -> int:
        """Send a task management function, at once, and return its tag.

        Args:
            function: `midlayer.iscsi.codes.Function`.
            lun: Eight bytes, for those that are about a logical unit.
            task: For those that are about a task; it stays until `forget`.
        """
        self._check_session()
        tag = self._tag()
        request = pdu.TaskManagement(
            immediate=True,
            final=True,
            function=function,
            lun=task.lun if task is not None else lun,
            initiator_task_tag=tag,
            referenced_task_tag=task.tag if task is not None else NO_TAG,
            cmd_sn=self._cmd_sn,
            exp_stat_sn=self._exp_stat_sn,
            ref_cmd_sn=task.cmd_sn if task is not None else 0,
        )
        self._send(request.encode())
        return tag

    def forget(self, task: InitiatorTask) -> None:
        """Give up on a task, after the target has said that it is aborted."""
        self.tasks.pop(task.tag, None)
        if task in self.waiting:
            self.waiting.remove(task)

    def ping(self, data: bytes = b"") -> int:
        """Send a NOP-Out that the target answers, and return its tag."""
        self._check_session()
        tag = self._tag()
        self._send(self._nop_out(tag, NO_TAG), data)
        return tag

    def send_targets(self, which: str = "All") -> int:
        """Ask for targets and return the tag: ``All``, one name, or empty for one's own."""
        return self.send_text([("SendTargets", which)])

    def send_text(self, pairs: text.Pairs) -> int:
        """Send a text request and return its tag."""
        self._check_session()
        tag = self._tag()
        self._request_text(tag, NO_TAG, text.encode(pairs))
        return tag

    def logout(self, reason: int = LogoutReason.CLOSE_SESSION) -> int:
        """Ask for the end of the session, and return the tag."""
        self._check_session()
        tag = self._tag()
        request = pdu.LogoutRequest(
            immediate=True,
            final=True,
            reason=reason,
            initiator_task_tag=tag,
            cmd_sn=self._cmd_sn,
            exp_stat_sn=self._exp_stat_sn,
        )
        self._send(request.encode())
        self._advance(Event.LOGOUT)
        return tag

    # Inside

    def _send_waiting(self) -> None:
        while self.waiting and self.window and self.state is State.LOGGED_IN:
            self._send_command(self.waiting.popleft())

    def _send_command(self, task: InitiatorTask) -> None:
        """Send a command with the data that need not be asked for."""
        tag = task.tag = self._tag()
        cmd_sn = task.cmd_sn = self._cmd_sn
        self._cmd_sn = cmd_sn + 1 & MASK
        self.tasks[tag] = task
        cdb, data = task.cdb, task.data_out
        flags = task.attribute
        immediate: memoryview | bytes = b""
        expected = unsolicited = 0
        if data is not None:
            flags |= _WRITE
            expected = len(data)
            if self._immediate_bytes:
                immediate = memoryview(data)[: self._immediate_bytes]
            unsolicited = max(0, min(self._first_burst_bytes, expected) - len(immediate))
        elif task.data_in is not None:
            flags |= _READ
            expected = len(task.data_in)
        ahs = _extended_cdb(cdb[_CDB_BYTES:]) if len(cdb) > _CDB_BYTES else b""
        header = _pack_command(
            0x01,
            flags if unsolicited else flags | _FINAL,
            len(ahs) // 4 << 24 | len(immediate),
            task.lun,
            tag,
            expected,
            cmd_sn,
            self._exp_stat_sn,
            cdb[:_CDB_BYTES],
        )
        self._send_ready(header + ahs, immediate, len(immediate))
        if unsolicited:
            start = len(immediate)
            self._send_data(task, NO_TAG, start, start + unsolicited)

    def _send_data(self, task: InitiatorTask, transfer_tag: int, start: int, end: int) -> None:
        """Send one sequence of Data-Out PDUs."""
        assert task.data_out is not None
        data = memoryview(task.data_out)[start:end]
        for number, (offset, piece, final) in enumerate(data_in_pdus(data, self._segment_bytes, len(data))):
            header = _pack_data_out(
                0x05,
                final,
                len(piece),
                task.lun,
                task.tag,
                transfer_tag,
                self._exp_stat_sn,
                number,
                start + offset,
            )
            self._send_ready(header, piece, len(piece))

    def _request_text(self, tag: int, transfer_tag: int, body: bytes) -> None:
        request = pdu.TextRequest(
            immediate=True,
            final=True,
            initiator_task_tag=tag,
            target_transfer_tag=transfer_tag,
            cmd_sn=self._cmd_sn,
            exp_stat_sn=self._exp_stat_sn,
        )
        self._send(request.encode(), body)

    def _nop_out(self, tag: int, transfer_tag: int, lun: bytes = bytes(8)) -> bytes:
        return pdu.NopOut(
            immediate=True,
            final=True,
            lun=lun,
            initiator_task_tag=tag,
            target_transfer_tag=transfer_tag,
            cmd_sn=self._cmd_sn,
            exp_stat_sn=self._exp_stat_sn,
        ).encode()

    def _go_by_parameters(self) -> None:
        """Keep what was agreed on about writes, which every command would look up."""
        parameters = self.parameters
        self._segment_bytes = parameters.peer_number("MaxRecvDataSegmentLength")
        first = parameters.number("FirstBurstLength")
        self._immediate_bytes = min(first, self._segment_bytes) if parameters.yes("ImmediateData") else 0
        self._first_burst_bytes = 0 if parameters.yes("InitialR2T") else first

    def _tag(self) -> int:
        """Return a tag that no task has."""
        tag = self._next_tag + 1 & MASK
        while tag in self.tasks or not 0 < tag < NO_TAG:
            tag = tag + 1 & MASK
        self._next_tag = tag
        return tag

    def _check_session(self) -> None:
        if self.state is not State.LOGGED_IN:
            raise ProtocolError(f"the connection is {self.state.value}")


def _extended_cdb(rest: bytes) -> bytes:
    """Return the additional header segment for what a CDB has beyond 16 bytes (11.2.2.3)."""
    length = len(rest) + 1
    segment = length.to_bytes(2, "big") + bytes((AhsType.EXTENDED_CDB, 0)) + rest
    return segment + bytes(-len(segment) % 4)
