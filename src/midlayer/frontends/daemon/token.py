"""Who may use the API on TCP: on a Unix socket the file's mode says so, and here a token does."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from fastapi.responses import JSONResponse

from midlayer.frontends.daemon.body_limit import App, Message, Receive, Send
from midlayer.frontends.exit_status import SYNTAX_ERROR

_ADVICE = "send the header 'Authorization: Bearer TOKEN' with what is in the daemon's token_file"


class TokenRequired:
    """ASGI middleware that answers 401 on TCP to who does not know the token (RFC 6750 2.1).

    Args:
        app: What is behind it.
        token: The token; None if there is none, and everybody may come.
    """

    def __init__(self, app: App, token: bytes | None) -> None:
        self._app = app
        self._expected = None if token is None else b"Bearer " + token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand a request on, or refuse it."""
        on_tcp = scope.get("client") is not None
        if self._expected is None or not on_tcp or self._knows_it(dict(scope.get("headers", ()))):
            await self._app(scope, receive, send)
            return
        refusal = JSONResponse(
            {"error": f"not authorized: {_ADVICE}", "exit_status": SYNTAX_ERROR},
            status_code=401,
            headers={"WWW-Authenticate": "Bearer"},
        )
        await refusal(scope, receive, send)

    def _knows_it(self, headers: Mapping[bytes, bytes]) -> bool:
        assert self._expected is not None
        return hmac.compare_digest(headers.get(b"authorization", b""), self._expected)
