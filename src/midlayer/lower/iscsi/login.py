"""Connecting and logging in: from a portal to a session."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

from midlayer.errors import NodeError
from midlayer.iscsi.errors import IscsiError, LoginError
from midlayer.iscsi.initiator import InitiatorConnection
from midlayer.iscsi.initiator_events import SessionBegun
from midlayer.lower.iscsi.advice import about_connecting, about_login
from midlayer.lower.iscsi.cable import Cable, CableCut
from midlayer.lower.iscsi.spec import SessionSpec, parse_portal

Connect = Callable[[tuple[str, int], float], socket.socket]
_MOST_MOVES = 4


def connect(address: tuple[str, int], timeout_s: float) -> socket.socket:
    """Connect by TCP."""
    return socket.create_connection(address, timeout=timeout_s)


class LoginFailed(NodeError):
    """There is no session; the text says with whom, and why.

    Attributes:
        permanent: True if trying again would not help: the target refused.
    """

    permanent = False


def log_in(spec: SessionSpec, isid: bytes, lock: threading.Lock, dial: Connect = connect) -> Cable:
    """Connect to a portal and log in; follows a target that has moved.

    Args:
        spec: Whom to meet, and how.
        isid: Our ISID, six bytes.
        lock: Guards the connection from now on.
        dial: Makes the socket.

    Raises:
        LoginFailed: If there is no session in the end.
    """
    address = spec.address
    for _ in range(_MOST_MOVES):
        connection = InitiatorConnection(spec.wishes(isid), os.urandom)
        try:
            return _try(spec, address, connection, lock, dial)
        except LoginError as error:
            if not connection.moved_to:
                advice = about_login(spec, error, connection.refused_with)
                raise _failed(spec, address, str(error), advice, permanent=True) from None
            address = parse_portal(connection.moved_to.partition(",")[0])
    raise _failed(spec, address, "the target moves on and on", permanent=False)


def _try(
    spec: SessionSpec,
    address: tuple[str, int],
    connection: InitiatorConnection,
    lock: threading.Lock,
    dial: Connect,
) -> Cable:
    try:
        sock = dial(address, spec.login_timeout_s)
    except OSError as error:
        said = error.strerror or str(error)
        raise _failed(spec, address, said, about_connecting(error), permanent=False) from None
    cable = Cable(sock, connection, lock)
    try:
        cable.flush()
        events = cable.receive(spec.login_timeout_s)
        while not any(isinstance(event, SessionBegun) for event in events):
            events = cable.receive(spec.login_timeout_s)
    except LoginError:
        cable.close()
        raise
    except (IscsiError, CableCut) as error:
        cable.close()
        raise _failed(spec, address, str(error), permanent=False) from None
    except TimeoutError:
        cable.close()
        said = f"no answer to the login in {spec.login_timeout_s:g} s"
        raise _failed(spec, address, said, permanent=False) from None
    except BaseException:
        cable.close()
        raise
    return cable


def _failed(
    spec: SessionSpec, address: tuple[str, int], why: str, advice: str = "", *, permanent: bool
) -> LoginFailed:
    host, port = address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    error = LoginFailed(f"{spec.target or 'discovery'} at {where}: {why}{advice and '; ' + advice}")
    error.permanent = permanent
    return error
