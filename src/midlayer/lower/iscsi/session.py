"""One session with a target: kept up, logged in again when it is lost, and its commands ended cleanly.

A thread of its own receives, and logs in again. Commands go out in the thread that sends them; those that
follow from answers which came together go out together.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from midlayer.iscsi.codes import AsyncEvent, Function, FunctionResponse
from midlayer.iscsi.errors import IscsiError, ProtocolError
from midlayer.iscsi.initiator_events import (
    FunctionAnswered,
    InitiatorEvent,
    InitiatorTask,
    LogoutAnswered,
    MessageCame,
    PingAnswered,
    Rejected,
)
from midlayer.lower.iscsi.cable import Cable
from midlayer.lower.iscsi.isid import random_isid
from midlayer.lower.iscsi.login import Connect, LoginFailed, connect, log_in
from midlayer.lower.iscsi.reading import Reading
from midlayer.lower.iscsi.session_state import ALLOWED, Owner, SessionState

if TYPE_CHECKING:
    from midlayer.lower.iscsi.spec import SessionSpec
    from midlayer.mid.clock import Clock, Timer

_log = logging.getLogger("midlayer.iscsi")

FUNCTION_TIMEOUT_S = 15.0
LOGOUT_TIMEOUT_S = 3.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_JOIN_S = 20.0
_LOGGED_IN = SessionState.LOGGED_IN


class Session:
    """A session.

    Args:
        spec: Whom to meet, and how.
        owner: Hears of everything.
        clock: For pauses and time-outs.
        dial: Makes the socket.

    Attributes:
        spec: As given.
        isid: Our session identifier.
        logins: Times that a login has succeeded.
    """

    def __init__(self, spec: SessionSpec, owner: Owner, clock: Clock, dial: Connect = connect) -> None:
        self.spec = spec
        self.isid = random_isid()
        self.logins = 0
        self._owner = owner
        self._clock = clock
        self._dial = dial
        self._lock = threading.Lock()  # guards the connection, `_state` and what waits for answers
        self._changed = threading.Condition(self._lock)
        self._state = SessionState.NEW
        self._cable: Cable | None = None
        self._thread: threading.Thread | None = None
        self._answers: dict[int, Callable[[int], None]] = {}
        self._reading = Reading(owner.task_ended, self._take, clock.monotonic)
        self._pinged_s = -1.0
        self._ping: Timer | None = None
        self._closing = threading.Event()
        self._pause_over = threading.Event()

    @property
    def state(self) -> SessionState:
        """Where it is."""
        return self._state

    def start(self, *, patient: bool = False) -> None:
        """Log in, and go on in a thread.

        Args:
            patient: True to go on trying in the thread if the first login fails.

        Raises:
            LoginFailed: If there is no session, unless `patient`.
        """
        try:
            self._begin(log_in(self.spec, self.isid, self._lock, self._dial))
        except LoginFailed as error:
            if not patient:
                raise
            _log.warning("%s", error)
            self._become(SessionState.LOST)
        self._thread = threading.Thread(target=self._run, name="midlayer-iscsi-session", daemon=True)
        self._thread.start()

    def submit(self, task: InitiatorTask) -> bool:
        """Send a command; False if there is no session now, and nothing was done."""
        with self._lock:
            cable = self._cable
            if cable is None or self._state is not _LOGGED_IN:
                return False
            try:
                cable.connection.submit(task)
            except ProtocolError:  # a logout is under way
                return False
        cable.flush()
        return True

    def read_until(self, over: Callable[[], bool], *, batch: bool = False) -> None:
        """Let somebody who waits for a command read the socket; returns at once if others do.

        `batch` is True for somebody who waits for one command of many after the other.
        """
        self._reading.until(over, batch=batch)

    def wake(self) -> None:
        """Have whoever reads look again whether it is over; for `read_until`."""
        self._reading.wake()

    def manage(
        self, function: Function, lun: bytes = bytes(8), task: InitiatorTask | None = None
    ) -> FunctionResponse | None:
        """Send a task management function and wait for its answer.

        Returns:
            The answer; None if there is no session, or no answer in `FUNCTION_TIMEOUT_S`.
        """
        answered = threading.Event()
        answer: list[int] = []

        def take(response: int) -> None:
            answer.append(response)
            answered.set()

        with self._lock:
            cable = self._cable
            if cable is None or self._state is not SessionState.LOGGED_IN:
                return None
            if task is not None and task in cable.connection.waiting:
                cable.connection.forget(task)  # it was never sent
                return FunctionResponse.COMPLETE
            try:
                tag = cable.connection.manage(function, lun, task)
            except ProtocolError:
                return None
            self._answers[tag] = take
        cable.flush()
        timer = self._clock.call_later(FUNCTION_TIMEOUT_S, answered.set)
        answered.wait()
        timer.cancel()
        with self._lock:
            self._answers.pop(tag, None)
            done = bool(answer) and answer[0] == FunctionResponse.COMPLETE
            if done and task is not None:
                cable.connection.forget(task)
        return _function_response(answer[0]) if answer else None

    def forget(self, matches: Callable[[InitiatorTask], bool]) -> None:
        """Give up the tasks that a reset has ended; their answers will not come."""
        with self._lock:
            cable = self._cable
            if cable is None:
                return
            connection = cable.connection
            for task in [*connection.tasks.values(), *connection.waiting]:
                if matches(task):
                    connection.forget(task)

    def reconnect(self, why: str, timeout_s: float) -> bool:
        """Drop the connection, and wait for the new login that brings the session back.

        Returns:
            True if it is there again within `timeout_s`.
        """
        over = threading.Event()

        def expire() -> None:
            over.set()
            with self._changed:
                self._changed.notify_all()

        with self._lock:
            cable, before = self._cable, self.logins
        if cable is not None:
            cable.cut(why)
        timer = self._clock.call_later(timeout_s, expire)
        with self._changed:
            while not (back := self._is_back(before)) and not (over.is_set() or self._closing.is_set()):
                self._changed.wait()
        timer.cancel()
        return back

    def _is_back(self, before: int) -> bool:
        return self.logins != before and self._state is SessionState.LOGGED_IN

    def close(self) -> None:
        """Log out and end; returns when the thread has ended."""
        self._closing.set()
        self._pause_over.set()
        with self._lock:
            self._changed.notify_all()
        timer = self._log_out("no answer to the logout")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)
        if timer is not None:
            timer.cancel()
        self._become(SessionState.CLOSED)

    def _log_out(self, without_answer: str) -> Timer | None:
        """Ask for the end of the session; the timer, if any, cuts a connection on which no answer comes."""
        with self._lock:
            cable = self._cable
            if cable is None:
                return None
            logged_in = self._state is SessionState.LOGGED_IN
            if logged_in:
                with suppress(IscsiError):
                    cable.connection.logout()
        if not logged_in:
            cable.cut("closed")
            return None
        cable.flush()
        return self._clock.call_later(LOGOUT_TIMEOUT_S, lambda: cable.cut(without_answer))

    # The thread

    def _run(self) -> None:
        if self._cable is None and not self._log_in_again(_FIRST_PAUSE_S):
            return
        while (cable := self._cable) is not None:
            why = self._reading.run(cable)
            lost = not self._closing.is_set()
            if lost:
                _log.warning("%s: session lost: %s", self.spec.target, why)
                self._become(SessionState.LOST)  # first: what is retried now has to wait
            self._end(cable)
            if not lost or not self._log_in_again():
                return

    def _take(self, event: InitiatorEvent) -> str:
        """Take one event; return why the session is over, or an empty text."""
        match event:
            case FunctionAnswered(tag, response):
                with self._lock:
                    take = self._answers.pop(tag, None)
                if take is not None:
                    take(response)
            case Rejected(reason, _, task):
                _log.warning("%s: the target rejected a PDU, reason %#04x", self.spec.target, reason)
                if task is not None:
                    self._owner.task_lost(task)
            case MessageCame(event=AsyncEvent.SCSI_EVENT):
                self._owner.message(event)
            case MessageCame(event=AsyncEvent.REQUEST_LOGOUT):
                self._log_out("the target asked for a logout and does not answer it")
                self._become(SessionState.LOST)  # what comes now waits for the next login
            case MessageCame(event=AsyncEvent.DROP_CONNECTION | AsyncEvent.DROP_ALL_CONNECTIONS):
                return "the target said that it drops the connection"
            case LogoutAnswered():
                return "logged out"
            case PingAnswered() | _:
                pass
        return ""

    def _end(self, cable: Cable) -> None:
        """End the connection and everything that was under way on it."""
        with self._lock:
            self._cable = None
            connection = cable.connection
            lost = [*connection.tasks.values(), *connection.waiting]
            connection.tasks.clear()
            connection.waiting.clear()
            answers, self._answers = self._answers, {}
            ping, self._ping = self._ping, None
        if ping is not None:
            ping.cancel()
        cable.close()
        for take in answers.values():
            take(FunctionResponse.REJECTED)
        for task in lost:
            self._owner.task_lost(task)

    def _log_in_again(self, pause_s: float = 0.0) -> bool:
        """Try until there is a session again; False if it is not wanted any more."""
        give_up_s = self._clock.monotonic() + self.spec.replacement_timeout_s
        while not self._closing.is_set():
            if pause_s:
                self._pause(pause_s)
            try:
                cable = log_in(self.spec, self.isid, self._lock, self._dial)
            except LoginFailed as error:
                _log.warning("%s", error)
                if self._clock.monotonic() >= give_up_s:
                    self._become(SessionState.FAILED)
                pause_s = min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
                continue
            self._begin(cable)
            return True
        return False

    def _pause(self, seconds: float) -> None:
        self._pause_over.clear()
        if self._closing.is_set():
            return
        timer = self._clock.call_later(seconds, self._pause_over.set)
        self._pause_over.wait()
        timer.cancel()

    def _begin(self, cable: Cable) -> None:
        with self._lock:
            self._cable = cable
            self.logins += 1
            closing = self._closing.is_set()
        if closing:
            cable.cut("closed")  # `close` may have come too early to see it
        self._reading.heard_s = self._clock.monotonic()
        self._become(SessionState.LOGGED_IN)
        self._arm_ping(cable)

    def _become(self, state: SessionState) -> None:
        with self._lock:
            if state is self._state or state not in ALLOWED[self._state]:
                return
            self._state = state
            self._changed.notify_all()
        self._owner.state_changed(state)

    # Is the target still there?

    def _arm_ping(self, cable: Cable) -> None:
        interval_s = self.spec.ping_interval_s
        if not interval_s:
            return
        timer = self._clock.call_later(interval_s, lambda: self._ask(cable))
        with self._lock:
            self._ping = timer

    def _ask(self, cable: Cable) -> None:
        """Ask a target that has been silent; drop a connection on which it stays so."""
        now_s, heard_s = self._clock.monotonic(), self._reading.heard_s
        silent_s = now_s - heard_s
        if self._pinged_s > heard_s and silent_s >= 2 * self.spec.ping_interval_s:
            cable.cut(f"no answer for {silent_s:.0f} s")
            return
        if silent_s >= self.spec.ping_interval_s:
            with self._lock:
                if self._cable is not cable or self._state is not SessionState.LOGGED_IN:
                    return
                with suppress(IscsiError):
                    cable.connection.ping()
            self._pinged_s = now_s
            cable.flush()
        self._arm_ping(cable)


def _function_response(number: int) -> FunctionResponse:
    try:
        return FunctionResponse(number)
    except ValueError:
        return FunctionResponse.REJECTED
