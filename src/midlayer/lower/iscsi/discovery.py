"""Discovery: which targets a portal has."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import NamedTuple

from midlayer.iscsi.errors import IscsiError
from midlayer.iscsi.initiator_events import TextAnswered
from midlayer.lower.iscsi.cable import CableCut
from midlayer.lower.iscsi.isid import random_isid
from midlayer.lower.iscsi.login import Connect, LoginFailed, connect, log_in
from midlayer.lower.iscsi.spec import SessionSpec


class FoundTarget(NamedTuple):
    """A target and where it is to be reached, as SendTargets says.

    Attributes:
        name: Its iSCSI name.
        portals: ``address:port,group`` texts as they came; empty if it is where it was asked for.
    """

    name: str
    portals: tuple[str, ...]


def discover(spec: SessionSpec, dial: Connect = connect) -> list[FoundTarget]:
    """Ask a portal for its targets (RFC 7143 appendix C).

    Args:
        spec: Portal and accounts; its target is not looked at.
        dial: Makes the socket.

    Raises:
        LoginFailed: If the portal does not take the session, or does not answer.
    """
    lock = threading.Lock()
    cable = log_in(replace(spec, target=""), random_isid(), lock, dial)
    try:
        with lock:
            cable.connection.send_targets()
        cable.flush()
        while True:
            for event in cable.receive(spec.login_timeout_s):
                if isinstance(event, TextAnswered):
                    return _targets(event.pairs)
    except (IscsiError, CableCut, TimeoutError) as error:
        raise LoginFailed(f"discovery at {spec.portal}: {error or 'no answer to SendTargets'}") from None
    finally:
        cable.close()


def _targets(pairs: list[tuple[str, str]]) -> list[FoundTarget]:
    found: dict[str, list[str]] = {}
    portals: list[str] = []
    for key, value in pairs:
        if key == "TargetName":
            portals = found.setdefault(value, [])
        elif key == "TargetAddress":
            portals.append(value)
    return [FoundTarget(name, tuple(where)) for name, where in found.items()]
