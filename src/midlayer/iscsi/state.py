"""States of a connection, as tables: everything that changes one goes through `advance`.

The names follow RFC 7143 8.1; with one connection in each session, the session's states follow from them.
"""

from __future__ import annotations

from enum import Enum

from midlayer.iscsi.codes import Opcode
from midlayer.iscsi.errors import ProtocolError


class State(Enum):
    """Where a connection is."""

    IN_LOGIN = "in login"
    LOGGED_IN = "logged in"
    IN_LOGOUT = "in logout"
    CLOSED = "closed"


class Event(Enum):
    """What moves it."""

    LOGIN_FINAL = "the final login response"
    LOGIN_FAILED = "a login response with an error"
    LOGOUT = "a logout request"
    LOGOUT_DONE = "a logout response"
    LOST = "the end of the connection"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.IN_LOGIN, Event.LOGIN_FINAL): State.LOGGED_IN,
    (State.IN_LOGIN, Event.LOGIN_FAILED): State.CLOSED,
    (State.IN_LOGIN, Event.LOST): State.CLOSED,
    (State.LOGGED_IN, Event.LOGOUT): State.IN_LOGOUT,
    (State.LOGGED_IN, Event.LOST): State.CLOSED,
    (State.IN_LOGOUT, Event.LOGOUT_DONE): State.CLOSED,
    (State.IN_LOGOUT, Event.LOST): State.CLOSED,
    (State.CLOSED, Event.LOST): State.CLOSED,
}
"""A pair that is not here is a mistake of ours."""

_FULL_FEATURE = frozenset(
    {
        Opcode.NOP_OUT,
        Opcode.SCSI_COMMAND,
        Opcode.TASK_MANAGEMENT,
        Opcode.TEXT,
        Opcode.DATA_OUT,
        Opcode.LOGOUT,
        Opcode.SNACK,
    }
)
_DISCOVERY = frozenset({Opcode.TEXT, Opcode.LOGOUT, Opcode.NOP_OUT})

FROM_INITIATOR: dict[State, frozenset[int]] = {
    State.IN_LOGIN: frozenset({Opcode.LOGIN}),
    State.LOGGED_IN: _FULL_FEATURE,
    State.IN_LOGOUT: frozenset(),
    State.CLOSED: frozenset(),
}
"""What an initiator may send."""

FROM_INITIATOR_IN_DISCOVERY = _DISCOVERY
"""What it may send in a discovery session, once it is logged in (RFC 7143 4.3)."""

FROM_TARGET: dict[State, frozenset[int]] = {
    State.IN_LOGIN: frozenset({Opcode.LOGIN_RESPONSE}),
    State.LOGGED_IN: frozenset(
        {
            Opcode.NOP_IN,
            Opcode.SCSI_RESPONSE,
            Opcode.TASK_MANAGEMENT_RESPONSE,
            Opcode.TEXT_RESPONSE,
            Opcode.DATA_IN,
            Opcode.R2T,
            Opcode.ASYNC,
            Opcode.REJECT,
        }
    ),
    State.IN_LOGOUT: frozenset(
        {
            Opcode.NOP_IN,
            Opcode.SCSI_RESPONSE,
            Opcode.TASK_MANAGEMENT_RESPONSE,
            Opcode.TEXT_RESPONSE,
            Opcode.DATA_IN,
            Opcode.R2T,
            Opcode.ASYNC,
            Opcode.REJECT,
            Opcode.LOGOUT_RESPONSE,
        }
    ),
    State.CLOSED: frozenset(),
}
"""What a target may send."""


def advance(state: State, event: Event) -> State:
    """Return the state after an event.

    Raises:
        ProtocolError: If the table does not have it.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ProtocolError(f"{event.value} while the connection is {state.value}") from None
