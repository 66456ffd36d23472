"""Following events over HTTP: coroutines that wait for what other threads write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from midlayer.upper.scsimon import ScsimonDriver

KEEP_ALIVE_S = 15.0
_PAGE_EVENTS = 500


class Followers:
    """Everybody who waits for events now.

    Args:
        scsimon: Whose events.
    """

    def __init__(self, scsimon: ScsimonDriver) -> None:
        self.scsimon = scsimon
        self.over = False
        self._waiting: set[Changes] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def follow(self) -> Changes:
        """Return a follower, to be used in ``async with``."""
        return Changes(self, self._waiting)

    def end(self) -> None:
        """Have everybody go home; call it in the event loop's thread."""
        self.over = True
        for changes in self._waiting:
            changes.wake()


class Changes:
    """Carries the news of an event from whatever thread wrote it to one coroutine that waits."""

    def __init__(self, followers: Followers, waiting: set[Changes]) -> None:
        self._followers = followers
        self._waiting = waiting
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Changes:
        self._waiting.add(self)
        self._end = self._followers.scsimon.add_listener(self._notify)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()
        self._waiting.discard(self)

    async def after(self, since: int, timeout_s: float) -> bool:
        """Wait for an event after `since`; False if the time, or the daemon, is over."""
        end = self._loop.time() + timeout_s
        while self._followers.scsimon.event_count <= since:
            if self._followers.over:
                return False
            self._event.clear()
            try:
                async with asyncio.timeout_at(end):
                    await self._event.wait()
            except TimeoutError:
                return False
        return True

    def wake(self) -> None:
        """Have `after` look again."""
        self._event.set()

    def _notify(self) -> None:
        # The loop may close while another thread writes the last events.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)


async def server_sent_events(followers: Followers, since: int) -> AsyncIterator[str]:
    """Yield events after `since` until the daemon ends; `id:` is what to send back as Last-Event-ID."""
    scsimon = followers.scsimon
    async with followers.follow() as changes:
        # An id without data is no event, but whoever connects again without having seen one has a place.
        yield f": midlayer events\nid: {since}\n\n"
        while not followers.over:
            page = await asyncio.to_thread(scsimon.events, since, _PAGE_EVENTS)
            if page.gap is not None:
                yield f"event: gap\ndata: {json.dumps(page.gap._asdict())}\n\n"
                since = page.gap.last_missing
            for event in page.events:
                since = event.event_count
                yield f"id: {since}\nevent: {event.kind}\ndata: {json.dumps(event.to_json())}\n\n"
            if not page.events and not await changes.after(since, KEEP_ALIVE_S) and not followers.over:
                yield ": still here\n\n"
