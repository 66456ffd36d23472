"""A target at run time: which device is behind which LUN, for whom."""

from __future__ import annotations

from collections.abc import Callable

from midlayer.errors import MidlayerError
from midlayer.frontends.target.spec import LunSpec, TargetSpec
from midlayer.frontends.target.transfer import block_bytes
from midlayer.iscsi.chap import Credentials
from midlayer.mid.logical_unit import Gate, LogicalUnit

Find = Callable[[str], LogicalUnit]

_OPEN = Gate.OPEN
_FLAT_FROM = 256


class ExportedLun:
    """One LUN: its device is looked up when it is needed, and again when it has gone.

    Attributes:
        spec: What was said of it.
        read_only: True to refuse what changes it.
        block_bytes: Block size of the device, 0 if it has none; good after `device` was called.
    """

    __slots__ = ("_device", "_find", "block_bytes", "read_only", "spec")

    def __init__(self, spec: LunSpec, find: Find) -> None:
        self.spec = spec
        self.read_only = spec.read_only
        self._find = find
        self._device: LogicalUnit | None = None
        self.block_bytes = 0

    def device(self) -> LogicalUnit | None:
        """Return the device, or None while there is none."""
        device = self._device
        if device is not None and device.gate is _OPEN:
            return device
        try:
            found = self._find(self.spec.device)
        except MidlayerError:
            self._device = None
            return None
        if found is not device:
            self.block_bytes = block_bytes(found)
            self._device = found
        return found


LunMap = dict[bytes, ExportedLun]
"""By the eight bytes of a LUN, in every form that stands for it."""


class Export:
    """One target.

    Args:
        spec: What was said of it.
        find: Finds a device by address or node.
    """

    def __init__(self, spec: TargetSpec, find: Find) -> None:
        self.spec = spec
        self._luns = [ExportedLun(lun, find) for lun in sorted(spec.luns, key=lambda one: one.lun)]

    def admits(self, initiator_name: str) -> bool:
        """Say whether an initiator may see the target at all."""
        return not self.spec.initiators or initiator_name in self.spec.initiators

    @property
    def accounts(self) -> tuple[Credentials, ...]:
        """Names and secrets of which an initiator must know one."""
        return self.spec.accounts

    def lun_map(self, initiator_name: str) -> LunMap:
        """Return what one initiator sees."""
        found: LunMap = {}
        for exported in self._luns:
            names = exported.spec.initiators
            if names and initiator_name not in names:
                continue
            for form in lun_forms(exported.spec.lun):
                found[form] = exported
        return found


def lun_forms(lun: int) -> list[bytes]:
    """Return the forms of a LUN: peripheral below 256, flat in any case (SAM-5 4.7.7)."""
    flat = (0x4000 | lun).to_bytes(2, "big") + bytes(6)
    return [lun.to_bytes(2, "big") + bytes(6), flat] if lun < _FLAT_FROM else [flat]


def reported_lun(lun: int) -> bytes:
    """Return the form in which REPORT LUNS names a LUN."""
    return lun_forms(lun)[0]
