"""Talking to the daemon: its API on the Unix socket, as values and errors.

Only the standard library is used, because a command line has to start quickly.
"""

from __future__ import annotations

import base64
import errno
import http.client
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode

from midlayer.address import Address
from midlayer.errors import DaemonError
from midlayer.mid.command import Buffer, Result

_PAGE_EVENTS = 2000
_LOOK_AGAIN_S = 0.05
_credentials = struct.Struct("3i")  # pid, uid, gid
_REQUEST_WRONG, _SERVER_WRONG = 1, 99


class Executor(Protocol):
    """Something that takes a command to a device."""

    def execute(
        self,
        cdb: bytes,
        *,
        data_out: Buffer | None = None,
        data_in: bytearray | memoryview | int | None = None,
        timeout_s: float = 60.0,
    ) -> Result:
        """Send one command."""

    def close(self) -> None:
        """Let go of the device."""


class Client:
    """The daemon's API.

    Args:
        path: Path of the daemon's socket.

    Attributes:
        last_event_count: Count of the last event that `stream` gave.
    """

    def __init__(self, path: Path) -> None:
        self.last_event_count: int | None = None
        self._path = path
        self._http = _UnixConnection(path)

    def get(self, *path: str, **query: Any) -> dict[str, Any]:
        """Ask for something; keys with the value None are left out."""
        return self._call("GET", path, query, None)

    def post(self, *path: str, **wish: Any) -> dict[str, Any]:
        """Ask to have something done."""
        return self._call("POST", path, {}, wish)

    def delete(self, *path: str, **query: Any) -> dict[str, Any]:
        """Ask to have something removed."""
        return self._call("DELETE", path, query, None)

    def event_pages(self, since: int | None) -> Iterator[dict[str, Any]]:
        """Yield the events after `since` that are there now, in answers of a moderate size."""
        while True:
            page = self.get("events", since=since, limit=_PAGE_EVENTS)
            yield page
            if not page["items"] or page["items"][-1]["event_count"] >= page["event_count"]:
                return
            since = page["items"][-1]["event_count"]

    def stream(self, since: int | None) -> Iterator[dict[str, Any]]:
        """Yield events as they come until the daemon ends; a gap comes as ``{"event": "gap", …}``."""
        response = self._send("GET", ("events", "stream"), {"since": since}, None)
        if response.status != http.client.OK:
            raise self._refusal(response)
        kind = ""
        for line in self._lines(response):
            name, _, value = line.partition(": ")
            if name == "id":
                self.last_event_count = int(value)
            elif name == "event":
                kind = value
            elif name == "data":
                event: dict[str, Any] = json.loads(value)
                yield {"event": "gap", **event} if kind == "gap" else event

    def wait_for_daemon(
        self,
        timeout_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Wait until a daemon takes connections; if none does in time, the next call says so."""
        end_s = monotonic() + timeout_s
        while self._is_still_absent() and monotonic() < end_s:
            sleep(_LOOK_AGAIN_S)

    def _is_still_absent(self) -> bool:
        try:
            self._http.connect()
        except (FileNotFoundError, ConnectionRefusedError):
            return True
        except OSError:
            return False  # waiting would not help
        return False

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: str, path: tuple[str, ...], query: dict[str, Any], wish: Any) -> dict[str, Any]:
        response = self._send(method, path, query, wish)
        if response.status != http.client.OK:
            raise self._refusal(response)
        try:
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._lost(error) from None
        return answer

    def _send(
        self, method: str, path: tuple[str, ...], query: dict[str, Any], wish: Any
    ) -> http.client.HTTPResponse:
        given = {key: value for key, value in query.items() if value is not None}
        target = "/v1/" + "/".join(quote(part, safe="") for part in path)
        target += f"?{urlencode(given)}" if given else ""
        body = None if wish is None else json.dumps(wish)
        try:
            if self._http.sock is None:
                self._http.connect()
        except OSError as error:
            raise absent(self._path, error) from None
        try:
            self._http.request(method, target, body, {"Content-Type": "application/json"} if body else {})
            return self._http.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from None

    @staticmethod
    def _lines(response: http.client.HTTPResponse) -> Iterator[str]:
        try:
            while line := response.readline():
                yield line.decode().rstrip("\r\n")
        except (OSError, http.client.HTTPException):
            return  # killed; a daemon that stops ends the stream

    def _refusal(self, response: http.client.HTTPResponse) -> DaemonError:
        text = response.read()
        try:
            answer = json.loads(text)
            return DaemonError(answer["error"], exit_status=answer["exit_status"])
        except (ValueError, KeyError, TypeError):
            exit_status = _REQUEST_WRONG if response.status < 500 else _SERVER_WRONG
            return DaemonError(
                f"{self._path}: {response.status} {response.reason}: {text[:200].decode(errors='replace')}",
                exit_status=exit_status,
            )

    def _lost(self, error: Exception) -> DaemonError:
        self._http.close()
        why = getattr(error, "strerror", None) or error
        return DaemonError(f"{self._path}: the daemon ended before it answered ({why})")


class RemoteDevice:
    """A device of the daemon."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def execute(
        self,
        cdb: bytes,
        *,
        data_out: Buffer | None = None,
        data_in: bytearray | memoryview | int | None = None,
        timeout_s: float = 60.0,
    ) -> Result:
        """Send one command through the daemon."""
        length = data_in if isinstance(data_in, int) or data_in is None else len(data_in)
        answer = self._client.post(
            "execute",
            device=self._name,
            cdb=bytes(cdb).hex(),
            data_out=base64.b64encode(data_out).decode() if data_out is not None else None,
            data_in=length,
            timeout_s=timeout_s,
        )
        received = base64.b64decode(answer["data"])
        buffer: bytearray | memoryview | None = None
        if length is not None:
            buffer = bytearray(length) if isinstance(data_in, int) else data_in
            assert buffer is not None
            buffer[: len(received)] = received
        return Result(
            answer["status"],
            answer["host_byte"],
            answer["driver_byte"],
            bytes.fromhex(answer["sense"]),
            answer["residual"],
            answer["duration_s"],
            buffer,
            Address.parse(answer["address"]),
            bytes.fromhex(answer["cdb"]),
        )

    def close(self) -> None:
        """Close the connection to the daemon."""
        self._client.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("midlayer")
        self._path = path

    def connect(self) -> None:
        self.sock = connect(self._path)


def connect(path: Path) -> socket.socket:
    """Connect to a daemon's socket.

    Raises:
        OSError: EPERM if it is neither our own daemon nor root's.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
        answers = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _credentials.size)
        if not _is_trusted(_credentials.unpack(answers)[1], os.geteuid()):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    except BaseException:
        connection.close()
        raise
    return connection


def absent(path: Path, error: OSError) -> DaemonError:
    """Return the error for a daemon that can not be connected to."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return DaemonError(f"{path}: the daemon is another user's; run this command as that user")
    why = error.strerror or str(error)
    return DaemonError(f"{path}: no daemon answers here ({why}); start one with: midlayer up")


def _is_trusted(user: int, own: int) -> bool:
    """Our own daemon or root's: a socket in /tmp may be anybody's, and gets our commands."""
    return user in (0, own) or own == 0
