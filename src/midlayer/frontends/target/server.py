"""The target server: portals that listen, targets that come and go, sessions."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from midlayer.errors import DaemonError, InvalidRequest
from midlayer.frontends.target.export import Export, Find
from midlayer.frontends.target.policy import ConnectionPolicy
from midlayer.frontends.target.session import Session
from midlayer.frontends.target.spec import Portal, TargetSpec
from midlayer.iscsi.codes import LoginStatus
from midlayer.iscsi.errors import LoginError

if TYPE_CHECKING:
    from midlayer.mid.clock import Clock

_log = logging.getLogger("midlayer.target")

MAX_SESSIONS = 512
MAX_HALF_OPEN = 64
"""Connections that have not logged in; when there are more, the oldest of them has to go."""

_JOIN_S = 10.0


class _Listener:
    """One portal that is listened on."""

    def __init__(self, portal: Portal, listening: socket.socket, thread: threading.Thread) -> None:
        self.portal = portal
        self.socket = listening
        self.thread = thread
        host, port = listening.getsockname()[:2]
        self.actual = Portal(host, port)


class TargetServer:
    """All iSCSI targets of a daemon.

    Args:
        find: Finds a device by address or node.
        clock: For time-outs.
    """

    def __init__(self, find: Find, clock: Clock) -> None:
        self._find = find
        self._clock = clock
        self._lock = threading.RLock()
        self._exports: dict[str, Export] = {}
        self._listeners: dict[Portal, _Listener] = {}
        self._sessions: dict[Session, threading.Thread] = {}
        self._by_number: dict[int, Session] = {}
        self._next_number = 0
        self._stopping = False

    # Targets

    def add(self, spec: TargetSpec) -> None:
        """Begin to offer a target.

        Raises:
            InvalidRequest: If there is one of that name.
            DaemonError: If one of its portals can not be listened on.
        """
        with self._lock:
            if spec.iqn in self._exports:
                raise InvalidRequest(f"{spec.iqn}: there is a target of that name")
            before = set(self._listeners)
            try:
                for portal in spec.portals:
                    self._listen(portal)
            except DaemonError as error:
                closing = [self._listeners.pop(portal) for portal in set(self._listeners) - before]
                refusal = error
            else:
                self._exports[spec.iqn] = Export(spec, self._find)
                return
        _close(closing)
        raise refusal

    def change(self, spec: TargetSpec) -> None:
        """Replace what is said of a target; initiators that may not see it any more are dropped.

        Raises:
            InvalidRequest: If there is none of that name.
        """
        with self._lock:
            self._known(spec.iqn)
            export = self._exports[spec.iqn] = Export(spec, self._find)
            for session in self.sessions(spec.iqn):
                name = session.iscsi.identity.initiator_name
                session.luns = export.lun_map(name)
                if not export.admits(name):
                    session.dismiss("the initiator may not see the target any more")

    def remove(self, iqn: str) -> None:
        """Stop to offer a target, and end its sessions.

        Raises:
            InvalidRequest: If there is none of that name.
        """
        with self._lock:
            self._known(iqn)
            spec = self._exports.pop(iqn).spec
            still = {portal for export in self._exports.values() for portal in export.spec.portals}
            closing = [self._listeners.pop(portal) for portal in set(spec.portals) - still]
            sessions = self.sessions(iqn)
        for session in sessions:
            session.dismiss("the target was removed")
        _close(closing)

    def spec(self, iqn: str) -> TargetSpec:
        """Return what was said of a target; raises InvalidRequest if there is none."""
        with self._lock:
            return self._known(iqn).spec

    def specs(self) -> list[TargetSpec]:
        """Return all targets, by name."""
        with self._lock:
            return [self._exports[name].spec for name in sorted(self._exports)]

    def target_names(self) -> list[str]:
        """Return the names of all targets."""
        with self._lock:
            return sorted(self._exports)

    def export(self, name: str) -> Export | None:
        """Return a target by name."""
        with self._lock:
            return self._exports.get(name)

    def addresses(self, export: Export, local: str) -> list[Portal]:
        """Return where a target is to be reached; `local` stands for a portal on every address."""
        with self._lock:
            found = [self._actual(portal) for portal in export.spec.portals]
        return [replace(portal, host=local) if portal.wildcard else portal for portal in found]

    def portals(self, iqn: str) -> list[Portal]:
        """Return the portals of a target with the ports that they really have."""
        with self._lock:
            return [self._actual(portal) for portal in self._known(iqn).spec.portals]

    def _actual(self, portal: Portal) -> Portal:
        """Return a portal with the port that it really has."""
        return replace(self._listeners[portal].actual, group=portal.group)

    def _known(self, iqn: str) -> Export:
        export = self._exports.get(iqn)
        if export is None:
            raise InvalidRequest(f"{iqn}: there is no such target; see midlayer target list")
        return export

    # Sessions

    def sessions(self, iqn: str | None = None) -> list[Session]:
        """Return the sessions that are logged in, of one target or all."""
        with self._lock:
            live = [session for session in self._by_number.values() if not session.iscsi.closed]
        return [one for one in live if iqn is None or one.iscsi.identity.target_name == iqn]

    def drop(self, number: int) -> None:
        """End a session.

        Raises:
            InvalidRequest: If there is none of that number.
        """
        with self._lock:
            session = self._by_number.get(number)
        if session is None or session.iscsi.closed:  # as `sessions` has it; its thread may have work left
            raise InvalidRequest(f"session {number}: there is none; see midlayer target sessions")
        session.dismiss("dropped by the administrator")

    def begin_session(self, session: Session, export: Export | None) -> int:
        """Give a session its number.

        An older one of the same two ports ends, and so do those that the same initiator has left: what it
        finds is not to depend on which thread is quicker.

        Raises:
            LoginError: If there are too many.
        """
        identity = session.iscsi.identity
        if not identity.discovery:
            for other in self.sessions(identity.target_name):
                theirs = other.iscsi.identity
                if theirs.initiator_name != identity.initiator_name:
                    continue
                if (theirs.isid, other.portal_group) == (identity.isid, session.portal_group):
                    other.end_silently("another login of the same initiator port took its place")
                elif other.hung_up():
                    other.end_silently("the initiator closed the connection")
        with self._lock:
            if len(self._by_number) >= MAX_SESSIONS or self._stopping:
                raise LoginError("there are too many sessions", LoginStatus.OUT_OF_RESOURCES)
            self._next_number = self._next_number % 0xFFFF + 1
            while self._next_number in self._by_number:
                self._next_number = self._next_number % 0xFFFF + 1
            self._by_number[self._next_number] = session
            if export is not None:
                session.luns = export.lun_map(identity.initiator_name)
            session.siblings = lambda: self.sessions(identity.target_name)
            return self._next_number

    def stop(self) -> None:
        """End all sessions and stop to listen; returns when all threads have ended."""
        with self._lock:
            self._stopping = True
            listeners, sessions = list(self._listeners.values()), dict(self._sessions)
            self._listeners.clear()
        _close(listeners)
        with self._lock:
            sessions |= self._sessions
        for session in sessions:
            session.dismiss("the daemon ends")
        for thread in sessions.values():
            thread.join(_JOIN_S)

    # Listening

    def _listen(self, portal: Portal) -> None:
        if portal in self._listeners:
            return
        family = socket.AF_INET6 if ":" in portal.host else socket.AF_INET
        try:
            listening = socket.create_server((portal.host, portal.port), family=family, backlog=128)
        except OSError as error:
            raise DaemonError(f"portal {portal}: {error.strerror or error}") from error
        thread = threading.Thread(
            target=self._accept, args=(portal, listening), name="midlayer-portal", daemon=True
        )
        self._listeners[portal] = _Listener(portal, listening, thread)
        thread.start()

    def _accept(self, portal: Portal, listening: socket.socket) -> None:
        while True:
            try:
                connection, peer = listening.accept()
            except OSError as error:
                if listening.fileno() < 0 or self._stopping or portal not in self._listeners:
                    return
                _log.error("portal %s: %s", portal, error.strerror or error)
                self._clock_pause()
                continue
            try:
                self._begin(portal, connection, f"{peer[0]}:{peer[1]}")
            except OSError:
                connection.close()

    def _clock_pause(self) -> None:
        """Let a moment pass, as when there are no descriptors left."""
        passed = threading.Event()
        self._clock.call_later(0.1, passed.set)
        passed.wait()

    def _begin(self, portal: Portal, connection: socket.socket, peer: str) -> None:
        policy = ConnectionPolicy(self, portal, connection.getsockname()[0])
        session = policy.session = Session(connection, peer, policy, self._clock)
        thread = threading.Thread(target=self._run, args=(session,), name="midlayer-iscsi", daemon=True)
        with self._lock:
            self._sessions[session] = thread
            half_open = [one for one in self._sessions if not one.began]
        for one in half_open[:-MAX_HALF_OPEN]:
            one.drop("too many connections that do not log in")
        thread.start()
        if self._stopping and not session.began:  # one that has begun is told by `stop`
            session.drop("the daemon ends")

    def _run(self, session: Session) -> None:
        try:
            session.run()
        finally:
            with self._lock:
                self._sessions.pop(session, None)
                number = session.iscsi.identity.tsih
                if self._by_number.get(number) is session:
                    del self._by_number[number]


def _close(listeners: list[_Listener]) -> None:
    for listener in listeners:
        with suppress(OSError):
            listener.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        listener.thread.join(_JOIN_S)
        listener.socket.close()
