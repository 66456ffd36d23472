"""A daemon in this process, with its API on a real socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from midlayer.frontends.config import parse
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.daemon.serve import ApiServer, unix_socket

SOON_S = 60.0
CONFIG = """
[log]
keep_events = {keep_events}

[[host]]
driver = "virtual"
name = "test array"

[[host.unit]]
product = "First"
size = "1M"

[[host.unit]]
lun = 1
product = "Second"
size = "1M"
write_protected = true
"""


class Serving:
    """A daemon that serves in a thread of its own, until `stop`."""

    def __init__(self, directory: Path, *, keep_events: int = 1000) -> None:
        self.daemon = Daemon(parse(CONFIG.format(keep_events=keep_events)), directory / "state")
        self.path = directory / "m.sock"
        self._socket = unix_socket(self.path)
        self.daemon.start()
        self.server = ApiServer(self.daemon)
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="serving")
        self._thread.start()
        self.http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.path)), base_url="http://midlayer/v1/", timeout=SOON_S
        )

    async def _serve(self) -> None:
        self._loop.set_result(asyncio.get_running_loop())
        await self.server.serve(sockets=[self._socket])

    def follow(self, since: int | None = None, last_event_id: str | None = None) -> Following:
        """Begin to follow events."""
        return Following(self.path, since, last_event_id)

    def end_serving(self) -> None:
        """End as a signal does; return when the server has ended."""
        if self._thread.is_alive():
            self._loop.result(SOON_S).call_soon_threadsafe(self.server.stop)
            self._thread.join(SOON_S)
            assert not self._thread.is_alive()

    def stop(self) -> None:
        self.http.close()
        self.end_serving()
        self.daemon.stop()
        self._socket.close()

    def eventually(self, condition: Callable[[], bool]) -> None:
        """Wait until the server's thread has come to something that nobody is told of."""
        end = monotonic() + SOON_S
        while not condition():
            assert monotonic() < end, "it never came to that"
            self.http.get("status")  # one turn of the server's loop


class Following:
    """One follower: server-sent events as ``(id, event, data)``."""

    def __init__(self, path: Path, since: int | None, last_event_id: str | None) -> None:
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://midlayer/v1/", timeout=SOON_S
        )
        params = {} if since is None else {"since": since}
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        self._context = self._client.stream("GET", "events/stream", params=params, headers=headers)
        self.response = self._context.__enter__()
        self._events = self._parse()
        self.first_id = next(self._events)[0] if self.response.is_success else ""

    def _parse(self) -> Iterator[tuple[str, str, Any]]:
        fields: dict[str, str] = {}
        for line in self.response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            else:
                if "id" in fields or "data" in fields:
                    yield (
                        fields.get("id", ""),
                        fields.get("event", ""),
                        json.loads(fields.get("data", "null")),
                    )
                fields = {}

    def take(self, number: int) -> list[tuple[str, str, Any]]:
        """Return the next events; they have to come."""
        return [next(self._events) for _ in range(number)]

    def rest(self) -> list[tuple[str, str, Any]]:
        """Return what comes until the daemon ends."""
        return list(self._events)

    def close(self) -> None:
        self._context.__exit__(None, None, None)
        self._client.close()

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
