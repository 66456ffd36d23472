"""The contract between the mid level and upper-level drivers: who hears what, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.mid.recovery_step import RecoveryStep


class UpperDriver:
    """Base of all upper-level drivers. The mid level calls these in the order in which things happen.

    Calls about one host come one at a time (its scan mutex is held); calls about different hosts may
    come at the same time. `by_resync` is True for what a lower-level driver found by comparing, because
    it may have missed the moment itself.
    """

    def host_added(self, host: Host, *, by_resync: bool = False) -> None:
        """A host is there; its devices follow."""

    def host_removed(self, host: Host, *, by_resync: bool = False) -> None:
        """A host is gone; its devices went before."""

    def match(self, device: LogicalUnit) -> bool:
        """Return True to be told of this device. Default: a device whose qualifier is 000b (rule SC-11)."""
        return device.accessible

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        """A device that matches is ready for commands."""

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        """A device that was attached is going away; new commands are refused already."""

    def changed(self, device: LogicalUnit, changes: dict[str, str], *, by_resync: bool = False) -> None:
        """Something about an attached device changed: its state, or a device node (``{"sg": "sg3"}``)."""

    def recovery(self, host: Host, step: RecoveryStep) -> None:
        """The error handler did something.

        Unlike the others this comes from any thread, at any time, also while a scan holds the scan mutex.
        So do the calls of `changed` that follow from it: a device that goes offline, a unit attention.
        """

    def scan_begins(self, host: Host) -> None:
        """Many changes of one host may follow; a driver may gather them until `scan_ends`."""

    def scan_ends(self, host: Host) -> None:
        """The changes since `scan_begins` are complete."""
