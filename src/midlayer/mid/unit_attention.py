"""Unit attentions that upper-level drivers hear of, by the names that the kernel gives them in uevents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midlayer.mid import attention

if TYPE_CHECKING:
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.mid.target import Target
    from midlayer.standards.sense import Sense

_MEDIUM, _RESET, _LUNS = (0x28,), (0x29,), (0x3F, 0x0E)

CHANGES: dict[tuple[int, ...], dict[str, str]] = {
    _MEDIUM: {"SDEV_MEDIA_CHANGE": "1"},
    **{
        (_RESET if codes[:1] == _RESET else codes): {"SDEV_UA": name}
        for name, codes in attention.KERNEL_NAMES.items()
    },
}
"""What `UpperDriver.changed` is told, by additional sense code, with its qualifier or without."""


def report(device: LogicalUnit, sense: Sense) -> None:
    """Tell of a unit attention: the subsystem's listener, and upper-level drivers if they know its name."""
    attention.tell(device, sense.asc, sense.ascq)
    code: tuple[int, ...] = (sense.asc, sense.ascq)
    if code not in CHANGES:
        code = code[:1]
    if code not in CHANGES:
        return
    if code == _MEDIUM:
        if not device.removable:
            return
        device.medium_changed = True
    elif code == _LUNS and not expect_lun_change(device):
        return  # the target says so once for each of its devices; once is enough
    device.host.subsystem.report_change(device, dict(CHANGES[code]))


def expect_lun_change(device: LogicalUnit) -> bool:
    """Note that the target's LUNs changed; False if that is known already."""
    host, target = device.host, device.target
    with host.lock:
        if target.expecting_lun_change:
            return False
        target.expecting_lun_change = True
        host.watch()
    return True


def luns_were_read(target: Target) -> None:
    """Note that REPORT LUNS ended well, or the target goes; the next change is news again."""
    host = target.host
    with host.lock:
        if target.expecting_lun_change:
            target.expecting_lun_change = False
            host.watch(-1)
