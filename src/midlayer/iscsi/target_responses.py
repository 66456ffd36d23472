"""What a target sends: responses with their numbers, data, and what nobody asked for."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any

from midlayer.iscsi import pdu
from midlayer.iscsi.codes import HEADER_BYTES, NO_TAG, FunctionResponse, RejectReason
from midlayer.iscsi.connection import Buffer, Connection
from midlayer.iscsi.data_in import data_in_pdus
from midlayer.iscsi.negotiation import Parameters
from midlayer.iscsi.serial import MASK, add, in_window
from midlayer.iscsi.state import State
from midlayer.iscsi.target_events import FunctionRequest
from midlayer.iscsi.task import Task
from midlayer.layout import Layout

_pack = Struct(">BBBBI8xIIIIIIII").pack
"""Headers of Data-In (`pdu.DataIn`) and SCSI Response (`pdu.ScsiResponse`), whose fields have equal sizes."""

_pack_good = Struct(">4sI8xIIIII12x").pack
"""The same for GOOD and no residual."""

_GOOD_DATA, _GOOD_RESPONSE = b"\x25\x81\0\0", b"\x21\x80\0\0"
_LOGGED_IN = State.LOGGED_IN


class TargetResponses(Connection):
    """The sending half of `midlayer.iscsi.target.TargetConnection`.

    Attributes:
        tasks: Tasks that were not responded to, by tag.
        pings: NOP-Ins of ours that were not answered.
    """

    __slots__ = (
        "_exp_cmd_sn",
        "_held",
        "_immediate",
        "_max_cmd_sn",
        "_next_tag",
        "_segment_bytes",
        "_stat_sn",
        "_waiting_bytes",
        "pings",
        "tasks",
    )

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.tasks: dict[int, Task] = {}
        self.pings = 0
        self._stat_sn = self._exp_cmd_sn = self._max_cmd_sn = 0
        self._immediate = 0
        self._held: dict[int, tuple[bytes, bytes, bytes]] = {}
        self._next_tag = 0
        self._segment_bytes = 8192
        self._waiting_bytes = 0

    def respond(  # noqa: PLR0917 (called for every command)
        self,
        task: Task,
        status: int,
        sense: bytes = b"",
        data: Buffer = b"",
        residual: int = 0,
        response: int = 0,
    ) -> None:
        """End a task.

        Args:
            task: From `next_event`. One that was aborted is passed over.
            status: SCSI status.
            sense: Sense data.
            data: What a read gives, at most `Task.expected_bytes`.
            residual: Bytes of `Task.expected_bytes` that were not used; negative for bytes that there was
                no room for.
            response: What the iSCSI layer says (`midlayer.iscsi.codes.Response`).
        """
        tag, length = task.tag, len(data)
        if self.tasks.pop(tag, None) is not task or self.state is not _LOGGED_IN:
            return
        if task.sequenced and task.bursts is None:  # `_end`, for nearly all
            self._max_cmd_sn = self._max_cmd_sn + 1 & MASK
        else:
            self._end(task)
        flags = 0x80 if not residual else 0x82 if residual > 0 else 0x84
        residual = abs(residual)
        alone = 0 < length <= self._segment_bytes and not sense and not response
        data_sn = self._send_data(task, memoryview(data)) if length and not alone else 0
        numbers = self._stat_sn, self._exp_cmd_sn, self._max_cmd_sn
        self._stat_sn = self._stat_sn + 1 & MASK
        if alone:  # the status goes with the data
            header = _pack(0x25, flags | 1, 0, status, length, tag, NO_TAG, *numbers, 0, 0, residual)
            self._send_ready(header, data, length)
            return
        body = len(sense).to_bytes(2, "big") + sense if sense else b""
        header = _pack(0x21, flags, response, status, len(body), tag, 0, *numbers, data_sn, 0, residual)
        self._send_ready(header, body, len(body))

    def respond_good(self, ended: Iterable[tuple[Task, Buffer]]) -> None:
        """End tasks with GOOD and all of the data that they ask for: `respond` for what nearly all come to.

        It sends what `respond` would, in half the time. What is out of the ordinary is left to that.
        """
        plain = self.state is _LOGGED_IN and not (self._header_digest or self._data_digest)
        tasks, output, most = self.tasks, self.output, self._segment_bytes
        exp_cmd_sn, sent = self._exp_cmd_sn, 0
        for task, data in ended:
            tag, length = task.tag, len(data)
            if not plain or length > most or length & 3 or not task.sequenced or task.bursts is not None:
                self.respond(task, 0, b"", data)
                continue
            if tasks.get(tag) is not task:  # it was aborted; the tag may be another's by now
                continue
            del tasks[tag]
            stat_sn = self._stat_sn
            self._stat_sn = stat_sn + 1 & MASK
            max_cmd_sn = self._max_cmd_sn = self._max_cmd_sn + 1 & MASK
            if length:
                output.append(_pack_good(_GOOD_DATA, length, tag, NO_TAG, stat_sn, exp_cmd_sn, max_cmd_sn))
                output.append(data)
            else:
                output.append(_pack_good(_GOOD_RESPONSE, 0, tag, 0, stat_sn, exp_cmd_sn, max_cmd_sn))
            sent += HEADER_BYTES + length
        self.output_bytes += sent

    def respond_function(self, request: FunctionRequest, response: FunctionResponse) -> None:
        """Say what came of a task management function."""
        if self.state is not State.LOGGED_IN:
            return
        self._finish_request(request.sequenced)
        self._status(
            pdu.TaskManagementResponse(
                final=True, response=response, initiator_task_tag=request.tag, **self._numbers()
            )
        )

    def abort(self, task: Task) -> None:
        """Forget a task; no response will be sent for it."""
        if self.tasks.get(task.tag) is task:
            del self.tasks[task.tag]
            self._end(task)

    def aborted_before_it_came(self, cmd_sn: int) -> bool:
        """Take a command off the window that an ABORT TASK overtook (RFC 7143 11.5.5 b); False if it came."""
        if cmd_sn == self._exp_cmd_sn and in_window(cmd_sn, self._exp_cmd_sn, self._max_cmd_sn):
            self._exp_cmd_sn = add(cmd_sn, 1)
            self._max_cmd_sn = add(self._max_cmd_sn, 1)
            return True
        return self._held.pop(cmd_sn, None) is not None

    def ping(self) -> None:
        """Ask the initiator to say that it is there."""
        if self.state is not State.LOGGED_IN:
            return
        self.pings += 1
        self._next_tag = (self._next_tag + 1) % NO_TAG
        ping = pdu.NopIn(
            final=True, initiator_task_tag=NO_TAG, target_transfer_tag=self._next_tag, **self._numbers()
        )
        self._send(ping.encode())

    def send_async(
        self, event: int, *, vcode: int = 0, parameters: tuple[int, int, int] = (0, 0, 0), data: bytes = b""
    ) -> None:
        """Tell the initiator something that it did not ask for (RFC 7143 11.9)."""
        if self.state is not State.LOGGED_IN:
            return
        self._status(
            pdu.AsyncMessage(
                final=True,
                initiator_task_tag=NO_TAG,
                async_event=event,
                async_vcode=vcode,
                parameter1=parameters[0],
                parameter2=parameters[1],
                parameter3=parameters[2],
                **self._numbers(),
            ),
            data,
        )

    # Inside

    def _send_data(self, task: Task, data: memoryview) -> int:
        """Send data in as many PDUs as it takes, without status; returns how many."""
        count = 0
        pieces = data_in_pdus(data, self._segment_bytes, self.parameters.number("MaxBurstLength"))
        for offset, piece, final in pieces:
            numbers = 0, self._exp_cmd_sn, self._max_cmd_sn
            header = _pack(0x25, final, 0, 0, len(piece), task.tag, NO_TAG, *numbers, count, offset, 0)
            self._send_ready(header, piece, len(piece))
            count += 1
        return count

    def _end(self, task: Task) -> None:
        if task.sequenced:
            self._max_cmd_sn = self._max_cmd_sn + 1 & MASK
        else:
            self._immediate -= 1
        if task.bursts is not None:
            self._waiting_bytes -= task.expected_bytes
            task.bursts = None

    def _finish_request(self, sequenced: bool) -> None:
        if sequenced:
            self._max_cmd_sn = add(self._max_cmd_sn, 1)

    def _numbers(self) -> dict[str, Any]:
        return {"stat_sn": self._stat_sn, "exp_cmd_sn": self._exp_cmd_sn, "max_cmd_sn": self._max_cmd_sn}

    def _status(self, response: Layout, data: bytes = b"") -> None:
        """Send a PDU that takes up a StatSN."""
        self._stat_sn = add(self._stat_sn, 1)
        self._send(response.encode(), data)

    def _reject(self, header: bytes, reason: RejectReason) -> None:
        self._status(
            pdu.Reject(final=True, reason=reason, initiator_task_tag=NO_TAG, **self._numbers()), header
        )
