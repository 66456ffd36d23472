"""Scans of new hosts that run beside each other, and announce what they found in order (rule SC-29).

A host's devices are attached to upper-level drivers when its scan is over and those of all hosts before it
are: names such as sg0 come out the same each time, however long each host takes.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from midlayer.mid.callbacks import call
from midlayer.mid.recovery_callbacks import provides

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.subsystem import Subsystem

_log = logging.getLogger("midlayer.scan")

POLL_S = 0.01


class AsyncScans:
    """The scans of one subsystem that have begun and are not announced.

    Args:
        subsystem: Whose hosts.
    """

    def __init__(self, subsystem: Subsystem) -> None:
        self._subsystem = subsystem
        self._changed = threading.Condition()
        self._scans: deque[_Scan] = deque()
        self._announcer = subsystem.clock.worker("midlayer-scan")

    def begin(self, host: Host) -> None:
        """Scan a new host; its devices are announced later."""
        host.hold()
        host.async_scan = True
        scan = _Scan(host, self._subsystem.clock.monotonic())
        with self._changed:
            self._scans.append(scan)
        scan.worker.post(partial(self._run, scan))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until every scan that has begun is announced; False if that takes too long.

        It must not be called from a driver's callback, nor with a scan mutex held.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._scans, timeout_s)

    def _run(self, scan: _Scan) -> None:
        template = scan.host.template
        if provides(template, "scan_finished"):
            call(template.scan_start, scan.host)
            self._poll(scan)
            return
        try:
            self._subsystem.scan_host(scan.host)
        finally:
            self._finished(scan)

    def _poll(self, scan: _Scan) -> None:
        host = scan.host
        elapsed_s = host.monotonic() - scan.began_s
        try:
            finished = host.template.scan_finished(host, elapsed_s)
        except Exception:
            _log.exception("host %d: scan_finished of driver %s raised", host.host_no, host.name)
            finished = True
        if finished:
            self._finished(scan)
        else:
            again = partial(scan.worker.post, partial(self._poll, scan))
            host.clock.call_later(POLL_S, again)

    def _finished(self, scan: _Scan) -> None:
        scan.finished = True
        self._announcer.post(self._announce)

    def _announce(self) -> None:
        while (scan := self._first_finished()) is not None:
            try:
                self._subsystem.announce(scan.host)
            finally:
                with self._changed:
                    self._scans.popleft()
                    self._changed.notify_all()
                scan.host.put()

    def _first_finished(self) -> _Scan | None:
        with self._changed:
            return self._scans[0] if self._scans and self._scans[0].finished else None


class _Scan:
    __slots__ = ("began_s", "finished", "host", "worker")

    def __init__(self, host: Host, began_s: float) -> None:
        self.host = host
        self.began_s = began_s
        self.finished = False
        self.worker = host.clock.worker(f"midlayer-scan-{host.host_no}")
