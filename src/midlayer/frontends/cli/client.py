"""Talking to the daemon, and finding the device that a user named: in the daemon, or without one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import httpx

from midlayer.address import Address
from midlayer.errors import DaemonError
from midlayer.mid.command import Buffer, Result

_LONG_S = 86400.0


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
    """The daemon's API on its Unix socket, as values and errors.

    Args:
        socket: Path of the socket.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://midlayer", timeout=_LONG_S
        )

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Ask for something; keys with the value None are left out."""
        return self._call("GET", path, params={key: value for key, value in query.items() if value is not None})

    def post(self, path: str, **wish: Any) -> dict[str, Any]:
        """Ask to have something done."""
        return self._call("POST", path, json=wish)

    def delete(self, path: str, **query: Any) -> dict[str, Any]:
        """Ask to have something removed."""
        return self._call("DELETE", path, params=query)

    def stream(self, since: int | None) -> Iterator[dict[str, Any]]:
        """Yield events as they come; a gap comes as ``{"event": "gap", …}``."""
        query = {} if since is None else {"since": since}
        try:
            with self._http.stream("GET", "/v1/events/stream", params=query) as response:
                kind = ""
                for line in response.iter_lines():
                    if line.startswith("event: "):
                        kind = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        data: dict[str, Any] = json.loads(line.removeprefix("data: "))
                        yield {"event": "gap", **data} if kind == "gap" else data
        except httpx.RemoteProtocolError:
            return  # the daemon ended
        except httpx.TransportError as error:
            raise self._absent(error) from None

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._absent(error) from None
        try:
            answer: dict[str, Any] = response.json()
        except ValueError:
            answer = {}
        if response.is_success:
            return answer
        if "error" in answer:
            raise DaemonError(answer["error"], exit_status=answer.get("exit_status", 99))
        detail = answer.get("detail", response.text)
        raise DaemonError(f"the daemon refused the request: {detail}", exit_status=1)

    def _absent(self, error: Exception) -> DaemonError:
        return DaemonError(f"{self.socket}: no daemon answers here ({error}); start one with: midlayer up")


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
            "/v1/execute",
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
