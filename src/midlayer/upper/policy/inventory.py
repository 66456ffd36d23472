"""Has a target scanned that says that its LUNs have changed, so that new ones are attached.

LUNs that are gone stay until somebody rescans with removal: a unit attention is no proof.
"""

from __future__ import annotations

import logging
import threading
from functools import partial

from midlayer.mid.host import Host, HostState
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.policy.worker import Executor

_log = logging.getLogger("midlayer.inventory")

REPORTED_LUNS_CHANGED = (0x3F, 0x0E)

_Place = tuple[Host, int, int]


class InventoryKeeper:
    """Scans targets after REPORTED LUNS DATA HAS CHANGED, once for all devices of a target that say so.

    Hosts whose driver reports its devices, the kernel's, are left to that driver.

    Args:
        subsystem: Whose targets.
        worker: Where they are scanned.
    """

    def __init__(self, subsystem: Subsystem, worker: Executor) -> None:
        self._subsystem = subsystem
        self._worker = worker
        self._lock = threading.Lock()
        self._due: set[_Place] = set()

    def attention(self, device: LogicalUnit, asc: int, ascq: int) -> None:
        """Have the target of a device scanned, in the worker, if a unit attention is a reason to."""
        host = device.host
        if (asc, ascq) != REPORTED_LUNS_CHANGED or host.template.scans_itself:
            return
        place = (host, device.address.channel, device.address.target)
        with self._lock:
            if place in self._due:
                return
            self._due.add(place)
        self._worker.submit(partial(self._scan, place))

    def _scan(self, place: _Place) -> None:
        host, channel, target = place
        try:
            if host.state is HostState.RUNNING:
                _log.info("target %d:%d:%d: its LUNs have changed; scanned", host.host_no, channel, target)
                self._subsystem.scan_host(host, channel, target)
        finally:
            # Only now: what the scan itself is told of a target must not lead to another scan of it.
            with self._lock:
                self._due.discard(place)
