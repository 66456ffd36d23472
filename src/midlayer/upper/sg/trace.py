"""SCSI logging of the sg driver: what callers ask for, and what they get.

| field | level | lines |
| --- | --- | --- |
| hlqueue | 1 | every request that a caller sends |
| hlcomplete | 1 | requests that did not end in GOOD; from 2 on, every one |
| ioctl | 1 | every ioctl but SG_IO; from 2 on, SG_IO too |
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from midlayer.mid.logging_level import LoggingLevel
from midlayer.standards.opcodes import describe_cdb

if TYPE_CHECKING:
    from midlayer.upper.sg.device import SgDevice
    from midlayer.upper.sg.request import Request

_log = logging.getLogger("midlayer.trace")
_EVERY = 2


class SgTrace:
    """Says what passes through sg nodes.

    Args:
        level: Returns the word in force; it is asked each time.
        say: Takes the lines, from any thread.
    """

    def __init__(self, level: Callable[[], LoggingLevel], say: Callable[[str], object] = _log.info) -> None:
        self.level = level
        self._say = say

    def queued(self, device: SgDevice, request: Request) -> None:
        """A caller sends a request."""
        if self.level().field("hlqueue"):
            how = "SG_IO" if request.sg_io_owned else "write"
            self._say(f"{device.device.address} {device.name} {describe_cdb(request.cdb)} queued by {how}")

    def completed(self, device: SgDevice, request: Request) -> None:
        """A request ended."""
        wanted = self.level().field("hlcomplete")
        if wanted >= _EVERY or (wanted and (request.status or request.host_byte)):
            outcome = f"status {request.status:#04x} host {request.host_byte:#04x} resid {request.residual}"
            text = describe_cdb(request.cdb)
            self._say(
                f"{device.device.address} {device.name} {text} completed {outcome} {request.duration_ms} ms"
            )

    def ioctl(self, device: SgDevice, number: int, argument: int, *, is_sg_io: bool) -> None:
        """A caller makes an ioctl."""
        if self.level().field("ioctl") >= (_EVERY if is_sg_io else 1):
            self._say(f"{device.device.address} {device.name} ioctl {number:#06x} argument {argument:#x}")
