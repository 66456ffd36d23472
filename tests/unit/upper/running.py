"""A run of scsimon above a driver that says of its devices what a test wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from midlayer.address import Address
from midlayer.mid.command import Command, HostByte
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock
from midlayer.testing.scripted import inquiry_data
from midlayer.upper.scsimon import Event, EventLog, Kind, ScsimonDriver


class ReportingDriver(HostTemplate):
    """Its devices are reported, not scanned, as the kernel's are."""

    name = "reported HBA"
    proc_name = "reporting"
    can_queue = 1
    max_id = 16
    max_lun = 100_000
    names_its_devices = True

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        command.host_byte = HostByte.DID_NO_CONNECT
        done(command)
        return 0


class Run:
    """One run of a daemon without its network: it begins with the log's lists, and ends with `stop`."""

    def __init__(
        self,
        state: Path | None,
        clock: FakeClock,
        *,
        keep_events: int = 100_000,
        keep_detached: int = 1000,
    ) -> None:
        self.clock = clock
        self.subsystem = Subsystem(clock=clock)
        self.log = EventLog(state, keep_events=keep_events, keep_detached=keep_detached)
        self.scsimon = ScsimonDriver(self.log, clock)
        self.subsystem.register_upper(self.scsimon)
        self.driver = ReportingDriver()

    def host(self, host_no: int = 0, *, session: str = "") -> Host:
        """Bring up a host."""
        host = self.subsystem.host_alloc(self.driver, host_no=host_no)
        host.session = session
        self.subsystem.add_host(host)
        return host

    def plug(
        self,
        host: Host,
        lun: int = 0,
        *,
        session: str = "",
        names: Mapping[str, str] | None = None,
        inquiry: bytes | None = None,
        by_resync: bool = False,
    ) -> LogicalUnit:
        """Report a device."""
        device = self.subsystem.add_reported_device(
            host,
            Address(host.host_no, 0, 0, lun),
            inquiry=inquiry_data() if inquiry is None else inquiry,
            vpd_pages={},
            names=names or {},
            session=session,
            by_resync=by_resync,
        )
        assert device is not None
        return device

    def unplug(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        """Report that a device is gone."""
        self.subsystem.remove_device(device, by_resync=by_resync)

    def events(self, since: int = 0) -> list[Event]:
        """Return the events after a count."""
        return self.scsimon.events(since).events

    def short(self, since: int = 0) -> list[tuple[int, Kind, str]]:
        """Return the events after a count in short."""
        return [(event.event_count, event.kind, event.address) for event in self.events(since)]

    def attached(self) -> dict[str, int]:
        """Return the attach counts of the attached list by address."""
        return {record.address: record.attach_count for record in self.scsimon.snapshot().attached}

    def stop(self) -> None:
        """End as a process does that leaves its devices alone."""
        self.scsimon.close()


Start = Callable[..., Run]
