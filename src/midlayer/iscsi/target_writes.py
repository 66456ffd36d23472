"""Data for writes: immediate, unsolicited, and asked for with R2T (RFC 7143 4.2.5.2)."""

from __future__ import annotations

from struct import Struct

from midlayer.iscsi import pdu
from midlayer.iscsi.codes import NO_TAG, Opcode
from midlayer.iscsi.errors import ProtocolError
from midlayer.iscsi.reader import Data
from midlayer.iscsi.target_responses import TargetResponses
from midlayer.iscsi.task import Burst, Task

MAX_TRANSFER_BYTES = 64 << 20
"""Longest write that is taken."""

MAX_WAITING_BYTES = 256 << 20
"""Most room for data of writes that are on their way; more end with TASK SET FULL."""

_TASK_SET_FULL, _CHECK_CONDITION = 0x28, 0x02
_INVALID_FIELD_IN_CDB = bytes.fromhex("70 00 05 00 00 00 00 0a 00 00 00 00 24 00 00 00 00 00")
_PROTOCOL_SERVICE_CRC_ERROR = bytes.fromhex("70 00 0b 00 00 00 00 0a 00 00 00 00 47 05 00 00 00 00")
_FINAL = 0x80
_unpack_data_out = Struct(">xB14xII12xII4x").unpack


class TargetWrites(TargetResponses):
    """The part of `midlayer.iscsi.target.TargetConnection` that gathers data."""

    __slots__ = ()

    def _begin_write(self, task: Task, data: Data, *, final: bool) -> Task | None:
        expected, parameters = task.expected_bytes, self.parameters
        unsolicited = min(expected, parameters.number("FirstBurstLength"))
        if len(data) > (unsolicited if parameters.yes("ImmediateData") else 0):
            raise ProtocolError("more immediate data than was agreed on")
        if not final and parameters.yes("InitialR2T"):
            raise ProtocolError("unsolicited data although InitialR2T=Yes")
        self.tasks[task.tag] = task
        if len(data) == expected:
            task.data_out = memoryview(data)
            return task
        if task.read or expected > MAX_TRANSFER_BYTES:
            self.respond(task, _CHECK_CONDITION, _INVALID_FIELD_IN_CDB, residual=expected)
            return None
        if self._waiting_bytes + expected > MAX_WAITING_BYTES:
            self.respond(task, _TASK_SET_FULL, residual=expected)
            return None
        self._waiting_bytes += expected
        task.data_out = memoryview(bytearray(expected))
        task.data_out[: len(data)] = data
        task.received_bytes = task.requested_bytes = len(data)
        task.bursts = {}
        if final:
            self._request_data(task)
        else:
            task.bursts[NO_TAG] = Burst(len(data), unsolicited)
            task.requested_bytes = unsolicited
        return None

    def _request_data(self, task: Task) -> None:
        """Ask for what is missing, in as many R2Ts as were agreed on."""
        bursts = task.bursts
        assert bursts is not None
        most, burst_bytes = (
            self.parameters.number("MaxOutstandingR2T"),
            self.parameters.number("MaxBurstLength"),
        )
        while task.requested_bytes < task.expected_bytes and len(bursts) < most:
            start = task.requested_bytes
            length = min(burst_bytes, task.expected_bytes - start)
            self._next_tag = (self._next_tag + 1) % NO_TAG
            bursts[self._next_tag] = Burst(start, start + length)
            task.requested_bytes = start + length
            ready = pdu.R2T(
                final=True,
                lun=task.lun,
                initiator_task_tag=task.tag,
                target_transfer_tag=self._next_tag,
                stat_sn=self._stat_sn,
                exp_cmd_sn=self._exp_cmd_sn,
                max_cmd_sn=self._max_cmd_sn,
                r2t_sn=task.r2t_sn,
                buffer_offset=start,
                desired_data_transfer_length=length,
            )
            task.r2t_sn += 1
            self._send(ready.encode())

    def _place(self, header: bytes, length: int) -> memoryview | None:
        """Say where data goes that is on its way: that of a Data-Out straight to its task."""
        if header[0] & 0x3F != Opcode.DATA_OUT:
            return None
        _, tag, transfer_tag, data_sn, offset = _unpack_data_out(header)
        task = self.tasks.get(tag)
        return task.place(transfer_tag, offset, length, data_sn) if task is not None else None

    def _take_data_out(self, header: bytes, ahs: bytes, data: Data) -> Task | None:
        flags, tag, transfer_tag, data_sn, offset = _unpack_data_out(header)
        task = self.tasks.get(tag)
        if task is None or task.bursts is None:
            return None  # of a task that has ended: its data is still on the way
        length = len(data)
        place = task.place(transfer_tag, offset, length, data_sn)
        if place is None:
            self._lost_data(task)
            return None
        assert task.data_out is not None
        if not (isinstance(data, memoryview) and data.obj is task.data_out.obj):
            place[:] = data
        burst = task.bursts[transfer_tag]
        burst.next += length
        burst.data_sn += 1
        task.received_bytes += length
        return self._end_burst(task, transfer_tag) if flags & _FINAL else None

    def _end_burst(self, task: Task, transfer_tag: int) -> Task | None:
        """A burst is over: return the task if its data is whole, else ask for more."""
        assert task.bursts is not None
        burst = task.bursts.pop(transfer_tag)
        if transfer_tag == NO_TAG:
            task.requested_bytes = task.received_bytes  # an initiator may send less than the first burst
        elif burst.next != burst.end:
            self._lost_data(task)
            return None
        if task.received_bytes == task.expected_bytes:
            self._waiting_bytes -= task.expected_bytes
            task.bursts = None
            return task
        self._request_data(task)
        return None

    def _lost_data(self, task: Task) -> None:
        """End a task whose data did not come in order: a PDU must have been lost (RFC 7143 7.8)."""
        self.respond(task, _CHECK_CONDITION, _PROTOCOL_SERVICE_CRC_ERROR, residual=task.expected_bytes)
