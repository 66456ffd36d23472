"""What a target's connection tells its front end, beside the tasks."""

from __future__ import annotations

from dataclasses import dataclass

from midlayer.iscsi.errors import LoginError, ProtocolError
from midlayer.iscsi.login import Identity
from midlayer.iscsi.task import Task


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The session has begun."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """The login ended without a session; the connection is closed once the output is sent."""

    identity: Identity
    error: LoginError


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The initiator logged out; the connection is closed once the output is sent."""

    reason: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The initiator broke a rule; the connection is closed once the output is sent."""

    error: ProtocolError


@dataclass(frozen=True, slots=True)
class FunctionRequest:
    """A task management function to carry out.

    Attributes:
        function: `midlayer.iscsi.codes.Function`, or a number that it does not have.
        tag: Initiator task tag of the request.
        lun: Eight bytes.
        referenced_tag, referenced_cmd_sn: Of the task that it is about.
        sequenced: True if it has a place in the command window.
    """

    function: int
    tag: int
    lun: bytes
    referenced_tag: int
    referenced_cmd_sn: int
    sequenced: bool


TargetEvent = Task | FunctionRequest | LoggedIn | LoginFailed | LoggedOut | Broken
