"""Handlers that wait for devices, in threads of their own: a device that hangs holds up nothing else."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec

from anyio import CapacityLimiter, to_thread

MOST_WAITING = 200
"""Calls that wait for devices at once; more of them wait for these, and no other call does."""

_P = ParamSpec("_P")


class DeviceThreads:
    """Threads for calls that end when a device has answered. Used in one event loop.

    The other calls are short, and share the few threads that the server has for all. Fifty commands to a path
    that is dead would else keep `status`, and what takes the dead device away, waiting until they time out.
    """

    def __init__(self) -> None:
        self._limiter: CapacityLimiter | None = None  # belongs to the event loop, which comes later

    def __call__(self, handler: Callable[_P, Any]) -> Callable[_P, Awaitable[Any]]:
        """Return a handler that runs in one of the threads."""

        @functools.wraps(handler)
        async def wait(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            if self._limiter is None:
                self._limiter = CapacityLimiter(MOST_WAITING)
            return await to_thread.run_sync(
                functools.partial(handler, *args, **kwargs), limiter=self._limiter
            )

        return wait
