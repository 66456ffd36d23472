"""Jobs that wait: those of one device one after the other, devices in turn. No thread, no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from midlayer.frontends.agents.job import Job


class JobQueue:
    """Jobs by key. A key whose job runs gives out no other before `finished`."""

    def __init__(self) -> None:
        self._jobs: dict[str, deque[Job]] = {}  # a key stays while it has jobs, or one that runs
        self._ready: deque[str] = deque()
        self._waiting = 0

    def __len__(self) -> int:
        """Jobs that wait; those that run do not count."""
        return self._waiting

    @property
    def running(self) -> int:
        """Jobs that were taken and are not finished."""
        return len(self._jobs) - len(self._ready)

    def put(self, job: Job) -> None:
        """Add a job behind those of its key."""
        jobs = self._jobs.get(job.key)
        if jobs is None:
            jobs = self._jobs[job.key] = deque()
            self._ready.append(job.key)
        jobs.append(job)
        self._waiting += 1

    def put_first(self, key: str, jobs: Sequence[Job]) -> None:
        """Add jobs before those that wait; a job of the key has to run."""
        self._jobs[key].extendleft(reversed(jobs))
        self._waiting += len(jobs)

    def take(self) -> Job | None:
        """Return the next job that may run now, None if there is none."""
        if not self._ready:
            return None
        self._waiting -= 1
        return self._jobs[self._ready.popleft()].popleft()

    def finished(self, key: str) -> None:
        """Say that the job of a key that was taken last is over."""
        if self._jobs[key]:
            self._ready.append(key)
        else:
            del self._jobs[key]
