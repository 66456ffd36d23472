"""Built-in actions: what rules may ask for that is no program. Each runs in a thread of its own."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable

from midlayer.errors import MidlayerError
from midlayer.frontends.agents.job import Job, Outcome

_log = logging.getLogger("midlayer.agents")

Action = Callable[[tuple[str, ...]], None]
"""Called with the job's arguments; a `MidlayerError` is its failure."""


class Actions:
    """The actions by name, and the threads that run some of them now."""

    def __init__(self) -> None:
        self.by_name: dict[str, Action] = {}
        self._threads: set[threading.Thread] = set()

    def start(self, job: Job, ended: Callable[[Job, Outcome], None]) -> None:
        """Run an action; `ended` is called at its end, in its thread."""

        def run() -> None:
            try:
                ended(job, self._run(job))
            finally:
                self._threads.discard(thread)

        thread = threading.Thread(target=run, name="midlayer-action", daemon=True)
        self._threads.add(thread)
        thread.start()

    def close(self) -> None:
        """Wait for the actions that run."""
        for thread in list(self._threads):
            thread.join()

    def _run(self, job: Job) -> Outcome:
        action = self.by_name.get(job.action)
        if action is None:
            return Outcome("not-started", errno.ENOENT)
        try:
            action(job.arguments)
        except MidlayerError as error:
            text = str(error).encode()
            return Outcome("exited", 1, text, len(text))
        except Exception:
            _log.exception("action %s raised", job.action)
            return Outcome("exited", 1)
        return Outcome("exited", 0)
