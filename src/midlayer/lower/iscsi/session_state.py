"""Where a session can be, and who hears of it.

States::

    NEW ──> LOGGED_IN ──> LOST ──> LOGGED_IN          commands wait while it is LOST
                            └────> FAILED ──> LOGGED_IN    after the replacement time-out they end at once
    any ──> CLOSED
"""

from __future__ import annotations

from enum import Enum

from midlayer.iscsi.initiator_events import InitiatorTask, MessageCame


class SessionState(Enum):
    """Where a session is."""

    NEW = "new"
    LOGGED_IN = "logged in"
    LOST = "lost"
    FAILED = "failed"
    CLOSED = "closed"


_S = SessionState

ALLOWED: dict[SessionState, frozenset[SessionState]] = {
    _S.NEW: frozenset({_S.LOGGED_IN, _S.LOST, _S.CLOSED}),
    _S.LOGGED_IN: frozenset({_S.LOST, _S.CLOSED}),
    _S.LOST: frozenset({_S.LOGGED_IN, _S.FAILED, _S.CLOSED}),
    _S.FAILED: frozenset({_S.LOGGED_IN, _S.CLOSED}),
    _S.CLOSED: frozenset(),
}
"""For each state, those that it may change to."""


class Owner:
    """Who a session works for; the driver overrides what it needs. Called without locks."""

    def task_ended(self, task: InitiatorTask) -> None:
        """A task has its answer in itself."""

    def task_lost(self, task: InitiatorTask) -> None:
        """A task ended without an answer: the connection is gone, or the target did not take it."""

    def state_changed(self, state: SessionState) -> None:
        """The session is in another state."""

    def message(self, message: MessageCame) -> None:
        """The target sent an asynchronous message that is about a logical unit."""
