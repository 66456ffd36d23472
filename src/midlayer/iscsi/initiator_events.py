"""What an initiator's connection holds and tells: tasks that ended, messages, answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from midlayer.iscsi.codes import TaskAttribute
from midlayer.iscsi.login import Identity
from midlayer.iscsi.text import Pairs

Buffer = bytes | bytearray | memoryview


class InitiatorTask:
    """A SCSI command on its way, and what came of it.

    Args:
        lun: Eight bytes.
        cdb: Up to 260 bytes.
        data_out: For the target.
        data_in: Writable room for what the target sends.
        attribute: How it is queued.
        owner: For the caller.

    Attributes:
        tag: Initiator task tag; 0 until it was sent.
        cmd_sn: Its command number, once it was sent.
        status: SCSI status.
        response: What the target's iSCSI layer says (`midlayer.iscsi.codes.Response`).
        sense: Sense data, as it came.
        residual: Bytes of the buffer that were not transferred; negative for bytes that had no room.
        received_bytes: How much of `data_in` was filled.
    """

    __slots__ = (
        "attribute",
        "cdb",
        "cmd_sn",
        "data_in",
        "data_out",
        "data_sn",
        "lun",
        "owner",
        "received_bytes",
        "residual",
        "response",
        "sense",
        "status",
        "tag",
    )

    def __init__(  # noqa: PLR0917 (made for every command)
        self,
        lun: bytes,
        cdb: bytes,
        data_out: Buffer | None = None,
        data_in: memoryview | None = None,
        attribute: int = TaskAttribute.SIMPLE,
        owner: Any = None,
    ) -> None:
        self.lun = lun
        self.cdb = cdb
        self.data_out = data_out
        self.data_in = data_in
        self.attribute = attribute
        self.owner = owner
        self.tag = self.cmd_sn = 0
        self.status = self.response = self.residual = self.received_bytes = self.data_sn = 0
        self.sense = b""


@dataclass(frozen=True, slots=True)
class SessionBegun:
    """The login is over; commands may go."""

    identity: Identity


class TaskEnded(NamedTuple):  # made for every command: a tuple costs less than a frozen dataclass
    """A task has its answer in itself."""

    task: InitiatorTask


@dataclass(frozen=True, slots=True)
class FunctionAnswered:
    """A task management function of ours has an answer (`midlayer.iscsi.codes.FunctionResponse`)."""

    tag: int
    response: int


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """The target answered our NOP-Out; `data` is what we sent."""

    tag: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TextAnswered:
    """The whole answer to a text request of ours."""

    tag: int
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class LogoutAnswered:
    """The answer to our logout (`midlayer.iscsi.codes.LogoutResponse`); at 0 the connection is over."""

    response: int
    time2wait_s: int
    time2retain_s: int


@dataclass(frozen=True, slots=True)
class MessageCame:
    """An asynchronous message (`midlayer.iscsi.codes.AsyncEvent`).

    Attributes:
        event, vcode, parameters: As they came.
        lun: Eight bytes, for a SCSI event.
        sense: Sense data of a SCSI event; empty for others.
    """

    event: int
    vcode: int
    parameters: tuple[int, int, int]
    lun: bytes
    sense: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """The target did not take a PDU of ours; if it was a command, `task` is over and has no status."""

    reason: int
    header: bytes
    task: InitiatorTask | None


InitiatorEvent = (
    SessionBegun
    | TaskEnded
    | FunctionAnswered
    | PingAnswered
    | TextAnswered
    | LogoutAnswered
    | MessageCame
    | Rejected
)
