"""Unit attentions, for those who act on them: from sense data, and from the kernel's events."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midlayer.mid.logical_unit import LogicalUnit

_log = logging.getLogger("midlayer.attention")

KERNEL_NAMES: dict[str, tuple[int, int]] = {
    "INQUIRY_DATA_HAS_CHANGED": (0x3F, 0x03),
    "REPORTED_LUNS_DATA_HAS_CHANGED": (0x3F, 0x0E),
    "ASYMMETRIC_ACCESS_STATE_CHANGED": (0x2A, 0x06),
    "CAPACITY_DATA_HAS_CHANGED": (0x2A, 0x09),
    "MODE_PARAMETERS_CHANGED": (0x2A, 0x01),
    "POWER_ON_RESET_OCCURRED": (0x29, 0x00),
    "THIN_PROVISIONING_SOFT_THRESHOLD_REACHED": (0x38, 0x07),
}
"""What the kernel calls a unit attention in a ``change`` event (``SDEV_UA``): code and qualifier by name."""


def tell(device: LogicalUnit, asc: int, ascq: int) -> None:
    """Tell the subsystem's listener of a unit attention; what it raises is logged."""
    listener = device.host.subsystem.attention
    if listener is None:
        return
    try:
        listener(device, asc, ascq)
    except Exception:
        _log.exception("%s: the listener for unit attentions raised", device.address)


def tell_kernel_attention(device: LogicalUnit, name: str) -> None:
    """Tell the subsystem's listener of a unit attention that the kernel saw."""
    codes = KERNEL_NAMES.get(name)
    if codes is not None:
        tell(device, *codes)
