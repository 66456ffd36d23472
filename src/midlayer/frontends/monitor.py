"""Events of a daemon, for programs: one after the other, with a descriptor to wait on, or by a callback.

::

    with midlayer.Monitor(since=40) as monitor:
        for event in monitor:
            if isinstance(event, midlayer.Gap):
                ...  # events that are no longer kept: read the lists anew
            elif event.kind == "attach":
                print(event.address, event.data["device"]["model"])

An event comes once, in order, and only once it is durable.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket as sockets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from midlayer.errors import DaemonError
from midlayer.frontends.cli.client import absent, connect
from midlayer.frontends.places import default_socket
from midlayer.upper.scsimon import Gap

_log = logging.getLogger("midlayer.monitor")

_AT_ONCE_BYTES = 1 << 16
_OK = b"200"


class MonitorEvent(NamedTuple):
    """One event.

    Attributes:
        event_count: Its count.
        kind: ``attach``, ``detach``, ``change`` …
        address: ``2:0:1:0``; empty for events of hosts.
        host: Number of the host.
        data: All of it, as documented for ``midlayer events --json``.
    """

    event_count: int
    kind: str
    address: str
    host: int
    data: dict[str, Any]


class Monitor:
    """Follows the events of a daemon. An iterator, and a context manager; for one thread at a time.

    Args:
        socket: The daemon's; the usual one by default.
        since: An event count: what came after it is given first. None for what comes from now on.

    Attributes:
        since: Count of the last event that was given: with it another `Monitor` goes on where this one ended.

    Raises:
        DaemonError: If no daemon answers, or `since` is beyond its last event.
    """

    def __init__(self, socket: Path | None = None, *, since: int | None = None) -> None:
        self._path = socket or default_socket()
        self._waiting: deque[MonitorEvent | Gap] = deque()
        self._rest = b""
        self._kind = ""
        self._over = self._placed = False
        try:
            self._socket = connect(self._path)
        except OSError as error:
            raise absent(self._path, error) from None
        self._has_more = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.epoll()
        self._poll.register(self._socket, select.EPOLLIN)
        self._poll.register(self._has_more, select.EPOLLIN)
        self.since = 0 if since is None else since
        try:
            self._begin(since)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return a descriptor that is readable while `poll` need not wait."""
        return self._poll.fileno()

    def poll(self, timeout_s: float | None = None) -> MonitorEvent | Gap | None:
        """Return the next event, or the gap before it.

        Args:
            timeout_s: Seconds to wait; 0 to look, None to wait without an end.

        Returns:
            None if the time was over first.

        Raises:
            DaemonError: If the daemon ended; what came before was given.
        """
        end_s = None if timeout_s is None else monotonic() + timeout_s
        while not self._waiting:
            if self._over:
                raise DaemonError(f"{self._path}: the daemon ended; its last event here was {self.since}")
            if not _readable(self._socket, None if end_s is None else max(0.0, end_s - monotonic())):
                return None
            self._receive()
        item = self._waiting.popleft()
        if not self._waiting and not self._over:
            self._tell(False)
        self.since = item.last_missing if isinstance(item, Gap) else item.event_count
        return item

    def __iter__(self) -> Iterator[MonitorEvent | Gap]:
        """Yield events as they come, until the daemon ends."""
        try:
            while (item := self.poll()) is not None:
                yield item
        except DaemonError:
            return

    def close(self) -> None:
        """Hang up. A second call does nothing."""
        if self._has_more < 0:
            return
        os.close(self._has_more)
        self._has_more = -1
        self._poll.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    def _begin(self, since: int | None) -> None:
        """Ask for the stream, and read up to where it begins. HTTP/1.0, so that it comes as it is."""
        query = "" if since is None else f"?{urlencode({'since': since})}"
        request = f"GET /v1/events/stream{query} HTTP/1.0\r\nHost: midlayer\r\n\r\n"
        try:
            self._socket.sendall(request.encode())
        except OSError as error:
            raise absent(self._path, error) from None
        head = b""
        while b"\r\n\r\n" not in head:
            data = self._read()
            if not data:
                raise DaemonError(f"{self._path}: the daemon ended before it answered")
            head += data
        head, _, self._rest = head.partition(b"\r\n\r\n")
        if head.split(None, 2)[1] != _OK:
            while data := self._read():
                self._rest += data
            raise self._refused()
        self._lines()
        while not self._over and not self._placed:  # where it begins comes first
            self._receive()

    def _refused(self) -> DaemonError:
        try:
            answer = json.loads(self._rest)
            return DaemonError(answer["error"], exit_status=answer["exit_status"])
        except (ValueError, KeyError, TypeError):
            return DaemonError(f"{self._path}: the daemon does not give events")

    def _read(self) -> bytes:
        try:
            return self._socket.recv(_AT_ONCE_BYTES)
        except ConnectionError:
            return b""

    def _receive(self) -> None:
        data = self._read()
        if not data:
            self._over = True
            self._tell(True)  # `poll` need not wait: it raises
            return
        self._rest += data
        self._lines()

    def _lines(self) -> None:
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            name, _, value = line.decode().rstrip("\r").partition(": ")
            if name == "event":
                self._kind = value
            elif name == "id" and not self._placed:
                self._placed, self.since = True, int(value)
            elif name == "data":
                self._take(json.loads(value))

    def _take(self, data: dict[str, Any]) -> None:
        if self._kind == "gap":
            self._waiting.append(Gap(data["first_missing"], data["last_missing"]))
        else:
            event = MonitorEvent(
                data["event_count"], data["event"], data.get("address", ""), data["host"], data
            )
            self._waiting.append(event)
        self._tell(True)

    def _tell(self, more: bool) -> None:
        if more:
            os.eventfd_write(self._has_more, 1)
        else:
            os.eventfd_read(self._has_more)


class MonitorObserver:
    """Calls back for each event, in a thread of its own. What the callback raises is logged, and it goes on.

    Args:
        monitor: Nobody else uses it from now on; `stop` closes it.
        callback: Gets each event and each `Gap`.

    Attributes:
        ended: Set once there is nothing more to come: after `stop`, or because the daemon ended.
    """

    def __init__(self, monitor: Monitor, callback: Callable[[MonitorEvent | Gap], object]) -> None:
        self.ended = threading.Event()
        self._monitor = monitor
        self._callback = callback
        self._stopping, self._wake = sockets.socketpair()
        self._thread = threading.Thread(target=self._run, name="midlayer-observer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the callback that runs now. May be called from the callback itself, and again."""
        with suppress(OSError):  # it has ended already
            self._wake.send(b"\0")
        if self._thread.ident is None:
            self._close()
        elif self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._stopping not in (ready := _readable(self._monitor, None, self._stopping)):
                if ready and (item := self._monitor.poll(0)) is not None:
                    self._call(item)
        except DaemonError as error:
            _log.info("%s", error)
        finally:
            self._close()

    def _close(self) -> None:
        self._monitor.close()
        self._stopping.close()
        self._wake.close()
        self.ended.set()

    def _call(self, item: MonitorEvent | Gap) -> None:
        try:
            self._callback(item)
        except Exception:
            _log.exception("the callback raised at event %d; it goes on", self._monitor.since)


def _readable(first: Any, timeout_s: float | None, *others: Any) -> list[Any]:
    """Wait until something can be read from one of these, and return which."""
    by_number = {each.fileno(): each for each in (first, *others)}
    poll = select.poll()
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(None if timeout_s is None else timeout_s * 1000)]
