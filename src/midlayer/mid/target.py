"""A SCSI target: the logical units at one channel and id (the kernel's ``scsi_target``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit


class Target:
    """One target of a host. It exists while it is scanned or has a device.

    Attributes:
        host: The host that it hangs on.
        channel: Channel number of the host.
        id: Target id on the channel.
        logical_units: Devices by LUN, those whose removal has ended left out.
        pdt_1f_for_no_lun: True if peripheral device type 1Fh alone means that there is no logical unit.
        no_report_luns: True to scan LUN by LUN.
        scsi_level: Level of the device that was probed last.
        scans: Scans that are under way; the target stays as long as there is one.
        held: Reasons not to send the driver new commands for any of its devices.
        blocked: True while it is left alone because the driver said TARGET_BUSY.
        expecting_lun_change: True from a report that the LUNs changed until REPORT LUNS ends well; more
            such reports from other devices of the target only mean another try.
        hostdata: For the driver.
    """

    __slots__ = (
        "blocked",
        "channel",
        "expecting_lun_change",
        "held",
        "host",
        "hostdata",
        "id",
        "logical_units",
        "no_report_luns",
        "pdt_1f_for_no_lun",
        "scans",
        "scsi_level",
    )

    def __init__(self, host: Host, channel: int, target_id: int) -> None:
        self.host = host
        self.channel = channel
        self.id = target_id
        self.logical_units: dict[int, LogicalUnit] = {}
        self.pdt_1f_for_no_lun = False
        self.no_report_luns = False
        self.scsi_level = 0
        self.scans = 0
        self.held = 0
        self.blocked = False
        self.expecting_lun_change = False
        self.hostdata: Any = None

    def __repr__(self) -> str:
        return f"<Target {self.host.host_no}:{self.channel}:{self.id} {len(self.logical_units)} devices>"

    def units(self) -> tuple[LogicalUnit, ...]:
        """Return its devices, in no order. The caller holds the host's lock."""
        return tuple(self.logical_units.values())

    @property
    def busy(self) -> int:
        """Commands of its devices that the driver has now. The caller holds the host's lock."""
        return sum(device.busy for device in self.logical_units.values())

    def enlist(self, device: LogicalUnit) -> None:
        """Count a device among the logical units. The caller holds the host's lock."""
        self.logical_units[device.address.lun] = device
        device.listed = True
        self.host.set_aside(device)

    def strike(self, device: LogicalUnit) -> None:
        """Count a device, if it is one, among the logical units no more. The caller holds the host's lock."""
        if self.logical_units.get(device.address.lun) is device:
            del self.logical_units[device.address.lun]
            device.listed = False
            self.host.set_aside(device)

    def device_freed(self, device: LogicalUnit) -> None:
        """The last reference of a removed device is gone; it gives back its reference on the host."""
        device.hostdata = None
        self.host.put()
