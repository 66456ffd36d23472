"""A limit to what a request may bring: its body is in memory as a whole before anybody looks at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import HTTPException

MOST_BODY_BYTES = 384 << 20
"""Room for the most data that one command moves, 256 MiB, in base64."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class BodyLimit:
    """ASGI middleware that ends a request with 413 once its body is too long, or says that it will be."""

    def __init__(self, app: App, most_bytes: int = MOST_BODY_BYTES) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        headers = dict(scope.get("headers", ()))
        announced = headers.get(b"content-length", b"")
        received = int(announced) if announced.isdigit() else 0
        counts = received == 0

        async def limited() -> Message:
            nonlocal received
            if received <= self._most_bytes:
                message = await receive()
                received += len(message.get("body", b"")) if counts else 0
                if received <= self._most_bytes:
                    return message
            raise HTTPException(413, f"the body has more than {self._most_bytes} bytes")

        await self._app(scope, limited if scope["type"] == "http" else receive, send)
