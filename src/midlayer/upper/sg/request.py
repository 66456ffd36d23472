"""One request of a descriptor: where it is, what it holds, and what came of it.

Everything that changes a request's state is the table in this file; a change that is not in it is a
KeyError, and a defect of the driver.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from midlayer.mid.command import Command
from midlayer.upper.sg.header import Abi

if TYPE_CHECKING:
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.upper.sg.transfer import Transfer

SENSE_BYTES = 96


class State(Enum):
    """State of a request; values are what ``/proc/scsi/sg/debug`` shows."""

    PRIOR = "prior"
    """The mid level does not have it yet."""
    ACT = "act"
    """The mid level has it."""
    RCV = "rcv"
    """It has ended, and nobody has read the result."""
    FIN = "fin"
    """Its result is being read."""
    FREE = "free"
    """It is gone."""

    __hash__ = object.__hash__  # Enum's own is written in Python, and every command looks into the table


_PRIOR = State.PRIOR


class Event(Enum):
    """What happens to a request."""

    SUBMIT = "submit"
    REFUSE = "refuse"
    COMPLETE = "complete"
    DROP = "drop"
    """It ended, or its descriptor was closed, and nobody wants the result."""
    TAKE = "take"
    RETURN = "return"

    __hash__ = object.__hash__


_S, _E = State, Event

TRANSITIONS: dict[tuple[State, Event], State] = {
    (_S.PRIOR, _E.SUBMIT): _S.ACT,
    (_S.PRIOR, _E.REFUSE): _S.FREE,
    (_S.ACT, _E.COMPLETE): _S.RCV,
    (_S.ACT, _E.DROP): _S.FREE,
    (_S.RCV, _E.TAKE): _S.FIN,
    (_S.RCV, _E.DROP): _S.FREE,
    (_S.FIN, _E.RETURN): _S.FREE,
}


def after(event: Event) -> dict[State, State]:
    """Return the rows of `TRANSITIONS` for one event: the state before → the state after."""
    return {before: then for (before, happened), then in TRANSITIONS.items() if happened is event}


REQ_STATE = {State.PRIOR: 1, State.ACT: 1, State.RCV: 2, State.FIN: 3, State.FREE: 0}
"""``req_state`` of ``sg_req_info``."""


class RequestView(NamedTuple):
    """A request at one moment, as the proc file shows it.

    Attributes:
        kind: ``rb`` in the reserved buffer, ``mmap`` in the mapped one, ``dio``, or empty.
        state: ``prior``, ``act``, ``rcv`` or ``fin``.
        pack_id: The caller's.
        blen: Bytes of its buffer.
        duration_ms: How long it took, once it has ended; None before.
        timeout_ms: What it may take.
        elapsed_ms: How long it has been going on.
        sgat: Pieces of its buffer.
        opcode: First byte of the CDB.
    """

    kind: str
    state: str
    pack_id: int
    blen: int
    duration_ms: int | None
    timeout_ms: int
    elapsed_ms: int
    sgat: int
    opcode: int


class Request(Command):
    """A request: the command that the mid level gets, and what sg keeps of it.

    The descriptor's lock guards `state`, `orphan` and `sg_io_owned`. While the device has it, its answer
    means nothing.

    Attributes:
        header: ``sg_io_hdr`` or ``sg_header`` up to the driver's members, as the caller gave it.
        interface: ``S`` for version 3, an empty string for the older ones, ``Q`` for version 4.
        reply_len: Of the older interface.
        pack_id, usr_ptr, flags, dxfer_len, mx_sb_len, sbp: From the header.
        timeout_ms: Milliseconds that the device has.
        transfer: Its data.
        state: Where it is.
        sg_io_owned: SG_IO waits for it; read() must not see it.
        orphan: Who waited was interrupted, or closed the descriptor.
        start_s, duration_ms: When it began, and how long it took.
    """

    __slots__ = (  # not in the class: what an instance may hide, Python 3.11 looks up the long way
        "abi", "cmd_len", "driver_status", "duration_ms", "dxfer_len", "flags", "header", "interface",
        "mx_sb_len", "opcode", "orphan", "pack_id", "reply_len", "sbp", "sg_io_owned", "start_s", "state",
        "timeout_ms", "transfer", "usr_ptr",
    )  # fmt: skip

    def __init__(
        self,
        device: LogicalUnit,
        interface: str,
        sg_io_owned: bool,
        abi: Abi,
        on_finished: Callable[[Command], None],
    ) -> None:
        Command.__init__(self, device, b"", None, None, 0.0, 0, True, on_finished)  # super() costs a look-up
        self.interface = interface
        self.abi = abi
        self.sg_io_owned = sg_io_owned
        self.state = _PRIOR
        self.orphan = False
        self.header = b""
        self.pack_id = self.usr_ptr = self.flags = self.dxfer_len = self.mx_sb_len = self.sbp = 0
        self.reply_len = self.cmd_len = self.opcode = self.timeout_ms = 0
        self.transfer: Transfer | None = None
        self.start_s = 0.0
        self.duration_ms = self.driver_status = 0

    def on(self, event: Event) -> None:
        """Change state by the table.

        Raises:
            KeyError: The table does not have the change.
        """
        self.state = TRANSITIONS[self.state, event]

    @property
    def masked_status(self) -> int:
        """The status as the older interface has it, shifted right."""
        return self.status >> 1 & 0x1F

    @property
    def has_sense(self) -> bool:
        """Sense data is there to be copied (rule SG-46)."""
        sense = self.sense_data
        return bool(self.masked_status & 1) or (bool(sense) and sense[0] & 0x70 == 0x70)

    @property
    def sense(self) -> bytes:
        """The sense data, no more of it than sg keeps."""
        return self.sense_data[:SENSE_BYTES]

    @property
    def readable(self) -> bool:
        """A read() may take it (rule SG-41)."""
        return self.state is State.RCV and not self.sg_io_owned

    def elapsed_ms(self, now_s: float) -> int:
        """Return whole milliseconds since the request began."""
        return max(0, int((now_s - self.start_s) * 1000))

    def view(self, now_s: float) -> RequestView:
        """Return the request as it is now. The caller holds the lock."""
        transfer = self.transfer
        done = self.state in (State.RCV, State.FIN)
        return RequestView(
            kind=transfer.kind if transfer else "",
            state=self.state.value,
            pack_id=self.pack_id,
            blen=transfer.buffer_bytes if transfer else 0,
            duration_ms=self.duration_ms if done else None,
            timeout_ms=self.timeout_ms,
            elapsed_ms=0 if done or self.state is State.PRIOR else self.elapsed_ms(now_s),
            sgat=transfer.elements if transfer else 0,
            opcode=self.opcode,
        )
