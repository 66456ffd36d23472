"""Who reads a session's socket: its own thread, or somebody who waits for a command.

A command that somebody waits for would cost two changes of threads if the session's thread had to read its
answer. So the thread lends the socket to those who wait, as long as they come one after the other. It takes
the socket back when nobody has read for a moment, when somebody leaves while others still wait for answers,
and when something has to be sent. A scan has many commands under way and waits for them in turn: it gets the
socket at once, and keeps it while it sees to what it has read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from midlayer.iscsi.errors import IscsiError
from midlayer.iscsi.initiator_events import InitiatorEvent, InitiatorTask, TaskEnded
from midlayer.lower.iscsi.cable import Cable, CableCut

LENT_S = 0.002
"""How long nobody reads, at most, when those who came for a while stay away."""

LENT_TO_BATCH_S = 0.01
"""The same for a scan, which attaches devices between its turns of reading."""

KEPT_S = 0.1
"""How long the thread reads itself after several waited at once."""


class Reading:
    """The turns of reading.

    Args:
        task_ended: Called with a task that has its answer.
        take: Called with every other event; returns why the session is over, or an empty text.
        monotonic: The clock.

    Attributes:
        heard_s: When something last came.
    """

    def __init__(
        self,
        task_ended: Callable[[InitiatorTask], None],
        take: Callable[[InitiatorEvent], str],
        monotonic: Callable[[], float],
    ) -> None:
        self._task_ended = task_ended
        self._take = take
        self._monotonic = monotonic
        self._turn = threading.Lock()  # free only while the thread lends the socket
        self._turn.acquire()
        self._cable: Cable | None = None
        self._wanted = self._wanted_for_batch = False
        self._turns = 0
        self._kept_until_s = 0.0
        self.heard_s = 0.0

    def run(self, cable: Cable) -> str:
        """Read until there is nothing more; return why. For the session's thread."""
        self._cable = cable
        self._wanted = self._wanted_for_batch = False
        try:
            while not (end := self._read(cable)):
                # While there are tasks, somebody may wait for the thread.
                if self._wanted_for_batch or (self._wanted and not cable.connection.tasks):
                    self._lend(cable)
        except (CableCut, IscsiError) as error:
            return str(error)
        else:
            return end
        finally:
            self._cable = None

    def until(self, over: Callable[[], bool], *, batch: bool = False) -> None:
        """Read until something is over, if the socket is to be had; whoever makes it over calls `wake`.

        `batch` is True for somebody who leaves with commands under way and comes back for them.
        """
        if not self._turn.acquire(blocking=False) and not self._ask(batch=batch):
            return
        cable = self._cable
        assert cable is not None  # or nothing were lent
        self._turns += 1
        try:
            while not over():
                if end := self._read(cable):
                    cable.cut(end)
                    return
        except (CableCut, IscsiError) as error:
            cable.cut(str(error))  # the thread sees to it
        except BaseException:
            cable.cut("the thread that read it was interrupted")
            raise
        finally:
            others = not batch and bool(cable.connection.tasks)
            self._turn.release()
            if others:
                self._kept_until_s = self._monotonic() + KEPT_S
                cable.wake()

    def wake(self) -> None:
        """Have whoever reads look again whether it is over."""
        cable = self._cable
        if cable is not None:
            cable.wake()

    def _ask(self, *, batch: bool) -> bool:
        """Have the thread lend the socket: for a batch now, else for the next command; True if it has."""
        wanted = self._monotonic() >= self._kept_until_s
        if not batch:
            self._wanted = wanted
            return False
        if not wanted:
            return False
        self._wanted_for_batch = True
        self.wake()
        lent = self._turn.acquire(timeout=LENT_TO_BATCH_S)
        if not lent:  # the thread logs in again, or has much to do
            self._wanted_for_batch = False
        return lent

    def _lend(self, cable: Cable) -> None:
        cable.woken.clear()
        lent_s = LENT_TO_BATCH_S if self._wanted_for_batch else LENT_S
        self._turn.release()
        while True:
            turns = self._turns
            if cable.woken.wait(lent_s) or (turns == self._turns and not self._turn.locked()):
                break
        self._wanted = self._wanted_for_batch = False
        self._turn.acquire()

    def _read(self, cable: Cable) -> str:
        """Take what is there next; return why the session is over, or an empty text."""
        events = cable.receive(until_woken=True)
        self.heard_s = self._monotonic()
        if len(events) == 1 and type(events[0]) is TaskEnded:
            self._task_ended(events[0].task)  # what follows from it goes out at once
            return ""
        cable.hold()
        try:
            for event in events:
                if type(event) is TaskEnded:  # nearly always
                    self._task_ended(event.task)
                elif end := self._take(event):
                    return end
        finally:
            cable.let_go()
        return ""
