"""A driver in the passive model: it says which hosts there are, and the mid level does the rest."""

from __future__ import annotations

from ramdisk import RamDisk

from midlayer import Host, Subsystem
from midlayer.mid.passive import exit_driver, init_driver, register, unregister

PORTS = (0x330, 0x230)
PRESENT = frozenset({0x330})


class PassiveRamDisk(RamDisk):
    """RAM disks on the ports of a bus of old; nobody tells when one is put in."""

    name, proc_name = "example passive RAM disk", "passive"

    def detect(self, subsystem: Subsystem) -> int:
        """Look at each port, and register a host for each card that is found; they are scanned later."""
        found = [port for port in PORTS if port in PRESENT]
        for port in found:
            host = register(subsystem, self)
            host.unique_id = port
            host.hostdata = port
        return len(found)

    def info(self, host: Host) -> str:
        """Say where the card is."""
        return f"{self.name} at port {host.hostdata:#x}"

    def release(self, host: Host) -> None:
        """Give the card's port back, and the host; all its devices are gone."""
        unregister(host)


def bring_up(subsystem: Subsystem) -> Host:
    """Have the driver detect its hosts; they are added and scanned."""
    return init_driver(subsystem, PassiveRamDisk())[0]


if __name__ == "__main__":
    here = Subsystem()
    only = bring_up(here)
    print(only.info, *only.devices(), sep="\n")
    exit_driver(here, only.template)
    print("hosts left:", len(here.hosts()))
