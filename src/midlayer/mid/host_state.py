"""States of a host, and the changes between them that there are."""

from __future__ import annotations

from enum import Enum


class HostState(Enum):
    """State of a host; values are what sysfs ``state`` shows."""

    CREATED = "created"
    RUNNING = "running"
    CANCEL = "cancel"
    DEL = "deleted"
    RECOVERY = "recovery"
    CANCEL_RECOVERY = "cancel/recovery"
    DEL_RECOVERY = "deleted/recovery"


_S = HostState

ALLOWED_TO: dict[HostState, frozenset[HostState]] = {
    _S.CREATED: frozenset({_S.RUNNING, _S.CANCEL}),
    _S.RUNNING: frozenset({_S.RECOVERY, _S.CANCEL}),
    _S.RECOVERY: frozenset({_S.RUNNING, _S.CANCEL_RECOVERY}),
    _S.CANCEL: frozenset({_S.DEL, _S.CANCEL_RECOVERY}),
    _S.CANCEL_RECOVERY: frozenset({_S.CANCEL, _S.DEL_RECOVERY}),
    _S.DEL_RECOVERY: frozenset({_S.DEL}),
    _S.DEL: frozenset(),
}
"""For each state, those that it may change to."""
