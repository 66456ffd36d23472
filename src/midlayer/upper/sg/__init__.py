"""sg: any SCSI command to any device of the subsystem, and everything about its outcome."""

from midlayer.upper.sg.buffers import DEFAULT_TIMEOUT_S
from midlayer.upper.sg.native import (
    MAX_SENSE_BYTES,
    BoundDevice,
    SgDriver,
    execute,
)
from midlayer.upper.sg.sent import Request
from midlayer.upper.sg.session import Session

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "MAX_SENSE_BYTES",
    "BoundDevice",
    "Request",
    "Session",
    "SgDriver",
    "execute",
]
