"""Built-in actions: what rules may ask for that is no program. Each runs in a thread of its own."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterable

from midlayer.errors import MidlayerError
from midlayer.frontends.agents.job import Job, Outcome

_log = logging.getLogger("midlayer.agents")

Action = Callable[[tuple[str, ...]], Iterable[Job] | None]
"""Called with the job's arguments; a `MidlayerError` is its failure.

What it returns runs next for the job's key, as a part of the same event, before what waits already.
"""

Ended = Callable[[Job, Outcome, tuple[Job, ...]], None]

END_S = 5.0
"""How long the end waits for actions that run; a program that a rule asks may take longer."""


class Actions:
    """The actions by name, and the threads that run some of them now."""

    def __init__(self) -> None:
        self.by_name: dict[str, Action] = {}
        self._threads: set[threading.Thread] = set()

    def start(self, job: Job, ended: Ended) -> None:
        """Run an action; `ended` is called at its end, in its thread, with what is to run next."""

        def run() -> None:
            try:
                ended(job, *self._run(job))
            finally:
                self._threads.discard(thread)

        thread = threading.Thread(target=run, name="midlayer-action", daemon=True)
        self._threads.add(thread)
        thread.start()

    def close(self) -> None:
        """Wait for the actions that run."""
        for thread in list(self._threads):
            thread.join(END_S)

    def _run(self, job: Job) -> tuple[Outcome, tuple[Job, ...]]:
        action = self.by_name.get(job.action)
        if action is None:
            return Outcome("not-started", errno.ENOENT), ()
        try:
            following = tuple(action(job.arguments) or ())
        except MidlayerError as error:
            text = str(error).encode()
            return Outcome("exited", 1, text, len(text)), ()
        except Exception:
            _log.exception("action %s raised", job.action)
            return Outcome("exited", 1), ()
        return Outcome("exited", 0), following
