"""What to do about a login that failed."""

from __future__ import annotations

import socket

from midlayer.iscsi.codes import LoginStatus
from midlayer.iscsi.errors import AuthenticationError, LoginError
from midlayer.lower.iscsi.spec import SessionSpec

_LATER = "it may have room for us later"
_REFUSALS: dict[LoginStatus, str] = {
    LoginStatus.AUTHORIZATION_FAILURE: "have it admit {initiator}, or set initiator to a name that it admits",
    LoginStatus.NOT_FOUND: "midlayer discover {portal} lists the targets there",
    LoginStatus.TARGET_REMOVED: "midlayer discover {portal} lists the targets there",
    LoginStatus.TARGET_ERROR: _LATER,
    LoginStatus.SERVICE_UNAVAILABLE: _LATER,
    LoginStatus.OUT_OF_RESOURCES: _LATER,
    LoginStatus.TOO_MANY_CONNECTIONS: _LATER,
}


def about_connecting(error: OSError) -> str:
    """Advise on a connection that was not made."""
    if isinstance(error, socket.gaierror):
        return "check the host name"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; check the port, and that the target runs"
    return "check the address, the network and what filters it"


def about_login(spec: SessionSpec, error: LoginError, refused_with: LoginStatus | None) -> str:
    """Advise on a login that was refused, or that we broke off; empty if there is nothing to say.

    Args:
        spec: What the login went by.
        error: What went wrong.
        refused_with: Status of the target's last response, if it refused.
    """
    if refused_with is LoginStatus.AUTHENTICATION_FAILURE:
        if not spec.user:
            return "it asks for CHAP; set user and secret"
        return f"check user and secret against what it knows of {spec.user}"
    if refused_with is not None:
        return _REFUSALS.get(refused_with, "").format(initiator=spec.initiator, portal=spec.portal)
    if isinstance(error, AuthenticationError):
        if spec.target_user:
            return "check target_user and target_secret against what the target proves itself with"
        return "if it wants no CHAP, leave out user and secret"
    return ""
