"""sg: any SCSI command to any device of the subsystem, and everything about its outcome."""

from midlayer.upper.sg.native import (
    DEFAULT_TIMEOUT_S,
    MAX_SENSE_BYTES,
    BoundDevice,
    SgDriver,
    execute,
)

__all__ = ["DEFAULT_TIMEOUT_S", "MAX_SENSE_BYTES", "BoundDevice", "SgDriver", "execute"]
