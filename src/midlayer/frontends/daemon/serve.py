"""Serving the API: sockets, signals, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn

from midlayer.errors import DaemonError, MidlayerError
from midlayer.frontends.daemon.app import make_app
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.daemon.stream import Followers

_log = logging.getLogger("midlayer.daemon")

SOCKET_MODE = 0o600
FORCE_S = 10.0
"""How soon a request to stop has to be made again if scsimon is locked."""

GRACE_S = 0.5
"""How long, at the end, somebody may take to read what was sent."""


def unix_socket(path: Path) -> socket.socket:
    """Listen on a Unix socket that only its owner may use.

    A socket file that nobody listens on any more is replaced.

    Raises:
        DaemonError: If somebody listens there, or the path can not be used.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            if _answers(path):
                raise DaemonError(f"{path}: another midlayer listens here; stop it, or choose --socket")
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _bind(listener, path)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise DaemonError(f"{path}: {error.strerror or error}; choose another path with --socket") from error
    return listener


def tcp_socket(host: str, port: int) -> socket.socket:
    """Listen on a TCP port.

    Raises:
        DaemonError: If the address can not be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise DaemonError(f"listen {host}:{port}: {error.strerror or error}") from error


def serve(
    daemon: Daemon,
    sockets: list[socket.socket],
    *,
    started: Callable[[], None],
    token: bytes | None = None,
    told_to_end: Callable[[], bool] = lambda: False,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        daemon: Whose API.
        sockets: Where; from `unix_socket` and `tcp_socket`.
        started: Called, in a thread, once the API answers.
        token: What who comes by TCP has to know; None if everybody may come.
        told_to_end: Says whether such a signal came before this took them; nothing is served then.
    """
    asyncio.run(_serve(ApiServer(daemon, token), daemon, sockets, started, told_to_end))


async def _serve(
    server: ApiServer,
    daemon: Daemon,
    sockets: list[socket.socket],
    started: Callable[[], None],
    told_to_end: Callable[[], bool],
) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    if told_to_end():
        return
    if not os.isatty(sys.stdout.fileno()):  # else it says that the terminal, and with it the daemon, ends
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, _reload, daemon))
    serving = asyncio.create_task(server.serve(sockets=sockets))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    beginning = asyncio.create_task(asyncio.to_thread(started))
    await serving
    await beginning


def _reload(daemon: Daemon) -> None:
    """Read the configuration again; a mistake in it is said, and changes nothing."""
    try:
        daemon.policy.reload()
    except MidlayerError as error:
        _log.error("not reloaded: %s", error)


class ApiServer(uvicorn.Server):
    """uvicorn with the API of a daemon, and with the signals left to us.

    Attributes:
        followers: Who waits for events now.
    """

    def __init__(self, daemon: Daemon, token: bytes | None = None) -> None:
        app = make_app(daemon, token)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        super().__init__(config)
        self.followers: Followers = app.state.followers
        self._module_lock = daemon.scsimon.module_lock
        self._refused_at: float | None = None

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield

    def stop(self) -> None:
        """End serving. Those who follow events are told; who does not even read is cut off.

        While a program has scsimon locked, a first request is refused, and a second one soon after is not.
        """
        if self._refuses():
            return
        self.force_exit = self.should_exit
        self.should_exit = True
        self.followers.end()
        asyncio.get_running_loop().call_later(GRACE_S, self._cut_off)

    def _refuses(self) -> bool:
        now, before = asyncio.get_running_loop().time(), self._refused_at
        if not self._module_lock.count or self.should_exit or (before is not None and now - before < FORCE_S):
            return False
        self._refused_at = now
        _log.warning(
            "not stopped: a program has scsimon locked (SCSIMON_LOCK_MOD, count %d); to stop it all the same,"
            " ask again within %.0f s",
            self._module_lock.count,
            FORCE_S,
        )
        return True

    def _cut_off(self) -> None:
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None and transport.get_write_buffer_size():
                transport.abort()


def _bind(listener: socket.socket, path: Path) -> None:
    previous = os.umask(0o777 & ~SOCKET_MODE)
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)
    try:
        listener.listen(128)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _answers(path: Path) -> bool:
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(str(path))
    except OSError:
        return False
    finally:
        probe.close()
    return True
