"""scsimon: a record of every coming and going of a SCSI device, with a unique, increasing event count."""

from midlayer.upper.scsimon.driver import Gap, Page, ScsimonDriver, Snapshot
from midlayer.upper.scsimon.log import EventLog
from midlayer.upper.scsimon.records import DeviceRecord, Event, HostRecord, Kind, Lists

__all__ = [
    "DeviceRecord",
    "Event",
    "EventLog",
    "Gap",
    "HostRecord",
    "Kind",
    "Lists",
    "Page",
    "ScsimonDriver",
    "Snapshot",
]
