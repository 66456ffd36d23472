"""What can go wrong on a connection: the peer broke a rule, refused, or could not be believed."""

from __future__ import annotations

from midlayer.errors import MidlayerError
from midlayer.iscsi.codes import LoginStatus, RejectReason


class IscsiError(MidlayerError):
    """Root of the errors of this package."""


class ProtocolError(IscsiError):
    """The peer sent what RFC 7143 does not allow.

    Args:
        message: Which rule, and what came instead; never data, never secrets.
        reason: For the Reject PDU that may answer it.
    """

    def __init__(self, message: str, reason: RejectReason = RejectReason.PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.reason = reason


class DigestError(ProtocolError):
    """A header or a data segment does not have the digest that came with it."""


class LoginError(IscsiError):
    """A login ended without a session.

    Args:
        message: Why.
        status: Class and detail, as the login response has them.
    """

    def __init__(self, message: str, status: LoginStatus = LoginStatus.INITIATOR_ERROR) -> None:
        super().__init__(message)
        self.status = status


class AuthenticationError(LoginError):
    """CHAP failed: a wrong secret, a wrong name, or a reflected challenge."""

    def __init__(self, message: str) -> None:
        super().__init__(message, LoginStatus.AUTHENTICATION_FAILURE)
