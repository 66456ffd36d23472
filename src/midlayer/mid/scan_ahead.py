"""Looking ahead in a scan: LUNs that are about to be probed are asked before their turn comes.

What a scan makes of the answers does not change by it: they are taken in order, and those that turn out not
to be wanted are thrown away (SC-23).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Generic, NamedTuple, Self, TypeVar

from midlayer.mid.asking import Asking, Steps
from midlayer.mid.logical_unit import SCSI_2, LogicalUnit

if TYPE_CHECKING:
    from midlayer.mid.scan import Adder
    from midlayer.mid.target import Target

T = TypeVar("T")

_MADE_AHEAD = 2


class Begun(NamedTuple, Generic[T]):
    """A device that is being asked."""

    device: LogicalUnit
    asking: Asking[T]


class LookAhead(Generic[T]):
    """Asks the next few LUNs of a list, as many as the driver's `scan_ahead`; a context manager.

    The scan's thread makes the devices; where the last answer of one came, another is asked. So the two
    threads seldom wait for each other.

    Args:
        adder: Makes the devices, and forgets those that were asked for nothing.
        target: Whose LUNs.
        luns: In the order in which they will be taken.
        steps: How a device is asked.
    """

    def __init__(
        self, adder: Adder, target: Target, luns: Sequence[int], steps: Callable[[LogicalUnit], Steps[T]]
    ) -> None:
        self._adder = adder
        self._target = target
        self._steps = steps
        self._depth = target.host.template.scan_ahead
        self._coming: Iterator[int] = iter(dict.fromkeys(luns))
        self._made: dict[int, Begun[T]] = {}
        self._lock = threading.Lock()  # guards the three that follow
        self._waiting: deque[Asking[T]] = deque()
        self._under_way = 0
        self._beginning = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            unsent = set(self._waiting)
            self._waiting.clear()
        while self._made:
            _, (device, asking) = self._made.popitem()
            if asking not in unsent:
                asking.over.wait()
            self._adder.drop_device(device)

    def take(self, lun: int) -> Begun[T] | None:
        """Return the device that is being asked at a LUN; None if that was not begun."""
        if self._depth > 1:
            self._make_some()
        return self._made.pop(lun, None)

    def _make_some(self) -> None:
        """Make the next devices, a few more than can be asked, and ask as many at once as the driver wants.

        Up to SCSI-2 commands depend on the level of the unit that was probed before (SC-8).
        """
        target = self._target
        if target.scsi_level <= SCSI_2:
            return
        made = False
        for lun in islice(self._coming, max(0, _MADE_AHEAD * self._depth - len(self._made))):
            if lun > target.host.max_lun or lun in target.logical_units:
                continue
            device = self._adder.allocate_device(target, lun)
            if device is None:
                continue  # it is refused once more when its turn comes
            asking = Asking(self._steps(device), self._ended)
            self._made[lun] = Begun(device, asking)
            self._waiting.append(asking)
            made = True
        if made:
            self._begin_some()

    def _begin_some(self) -> None:
        """Ask as many as may be asked at once; one thread at a time, which looks again before it goes."""
        with self._lock:
            if self._beginning:
                return
            self._beginning = True
        while (asking := self._next()) is not None:
            asking.begin()

    def _next(self) -> Asking[T] | None:
        with self._lock:
            if not self._waiting or self._under_way >= self._depth:
                self._beginning = False
                return None
            self._under_way += 1
            return self._waiting.popleft()

    def _ended(self) -> None:
        with self._lock:
            self._under_way -= 1
        self._begin_some()
